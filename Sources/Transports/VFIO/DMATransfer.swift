import CLinux

/// A read or write of the client's memory, asked for by the server. VFIO_USER_DMA_READ, VFIO_USER_DMA_WRITE;
/// the reply repeats it.
public struct DMATransfer: Equatable, Sendable {
    /// The fixed part, in bytes; the data follows.
    public static let size = MemoryLayout<vfio_user_dma_access>.size

    /// The I/O virtual address.
    public var address: UInt64
    /// In bytes.
    public var count: UInt64

    public init(address: UInt64, count: UInt64) {
        self.address = address
        self.count = count
    }

    /// Reads the request of a read: the fixed part alone.
    public init(read payload: RawSpan) throws(MalformedMessage) {
        let wire = try payload.loadAll(vfio_user_dma_access.self)
        self.init(address: wire.address, count: wire.count)
    }

    /// Reads the request of a write, or the reply to a read: `count` bytes follow the fixed part.
    public init(withData payload: RawSpan) throws(MalformedMessage) {
        let wire = try payload.load(vfio_user_dma_access.self)
        self.init(address: wire.address, count: wire.count)
        guard UInt64(payload.byteCount - Self.size) == count else {
            // The count is the peer's, of 64 bits: the sum may be more than an Int holds.
            throw .wrongSize(size: payload.byteCount, expected: Self.size &+ Int(truncatingIfNeeded: count))
        }
    }

    /// Reads the reply to a write. The specification's table gives the count 4 bytes, but QEMU and the C reference
    /// library send 8: both are understood.
    public init(writeReply payload: RawSpan) throws(MalformedMessage) {
        if payload.byteCount >= Self.size {
            let wire = try payload.load(vfio_user_dma_access.self)
            self.init(address: wire.address, count: wire.count)
        } else {
            self.init(
                address: try payload.load(UInt64.self), count: UInt64(try payload.load(UInt32.self, at: 8)))
        }
    }

    /// Writes the fixed part.
    ///
    /// - Returns: the number of bytes written.
    @discardableResult
    public func write(into bytes: inout MutableRawSpan) -> Int {
        bytes.store(vfio_user_dma_access(address: address, count: count))
    }
}
