import Linux
import VFIO

/// Memory that a client lets a device use without handing over a descriptor: the client's side of
/// VFIO_USER_DMA_READ and VFIO_USER_DMA_WRITE.
public protocol ClientMemory: AnyObject {
    /// Fills `target` with the bytes from I/O virtual address `address` on.
    ///
    /// - Throws: the errno that the server gets.
    func read(at address: UInt64, into target: inout MutableRawSpan) throws(Errno)

    /// Stores `bytes` from `address` on.
    func write(at address: UInt64, from bytes: RawSpan) throws(Errno)
}
