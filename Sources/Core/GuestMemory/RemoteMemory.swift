/// Guest memory that this process can't map: the hypervisor moves the bytes. VFIO_USER_DMA_READ,
/// VFIO_USER_DMA_WRITE
///
/// Calls come on the device's thread, with ranges that lie inside one map and allow the access. The
/// implementation splits what is too long for one message. While it waits for the hypervisor it may map
/// and unmap.
public protocol RemoteMemory: AnyObject {
    /// Fills `target`, which is not empty, from `address` on.
    func read(_ address: UInt64, into target: inout MutableRawSpan) throws(DMAError)

    /// Stores `bytes`, which are not empty, from `address` on.
    func write(_ address: UInt64, from bytes: RawSpan) throws(DMAError)
}
