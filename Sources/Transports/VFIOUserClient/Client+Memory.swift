import Linux
import VFIO

/// Memory for the device.
extension Client {
    /// Shares a part of a file with the device. VFIO_USER_DMA_MAP
    ///
    /// - Parameters:
    ///   - address: the I/O virtual address, a multiple of 4096.
    ///   - size: in bytes, a multiple of 4096.
    ///   - offset: where the part begins in the file, a multiple of 4096.
    public func map(
        address: UInt64, size: UInt64, file: borrowing Descriptor, offset: UInt64 = 0,
        flags: DMAMapFlags = [.read, .write]
    ) throws(ClientError) {
        let map = DMAMap(flags: flags, offset: offset, address: address, length: size)
        let count = prepare { map.write(into: &$0) }
        finish(try call(.dmaMap, payload: count, descriptors: [file.raw]))
    }

    /// Offers memory that the device reaches by messages, answered by ``Client/memory``.
    public func map(address: UInt64, size: UInt64, flags: DMAMapFlags = [.read, .write]) throws(ClientError) {
        let map = DMAMap(flags: flags, address: address, length: size)
        let count = prepare { map.write(into: &$0) }
        finish(try call(.dmaMap, payload: count))
    }

    /// Takes memory away again; on return the device doesn't use it any more. VFIO_USER_DMA_UNMAP
    ///
    /// - Parameter pageSize: asks for the dirty bitmap, of pages of this size.
    /// - Returns: the bitmap, one bit for each page, lowest bit of the first byte first; empty when not asked for.
    @discardableResult
    public func unmap(address: UInt64, size: UInt64, dirtyPageSize pageSize: UInt64? = nil) throws(ClientError)
        -> [UInt8]
    {
        var unmap = DMAUnmap(address: address, length: size)
        if let pageSize, pageSize > 0 {
            unmap = DMAUnmap(
                address: address, length: size,
                bitmap: DMAUnmap.Bitmap(pageSize: pageSize, size: (max(size, 1) - 1) / pageSize / 64 * 8 + 8))
        }
        let count = prepare { unmap.write(into: &$0) }
        let message = try call(.dmaUnmap, payload: count)
        defer { finish(message) }
        return Array(payload(of: message), from: DMAUnmap.size + DMAUnmap.bitmapSize)
    }

    /// Takes all memory away. VFIO_DMA_UNMAP_FLAG_ALL
    public func unmapAll() throws(ClientError) {
        let count = prepare { DMAUnmap(address: 0, length: 0, all: true).write(into: &$0) }
        finish(try call(.dmaUnmap, payload: count))
    }
}

extension [UInt8] {
    /// The bytes of a span from `offset` on; none when it is shorter.
    init(_ span: RawSpan, from offset: Int = 0) {
        guard span.byteCount > offset else {
            self = []
            return
        }
        self = span.extracting(droppingFirst: offset).withUnsafeBytes { [UInt8]($0) }
    }
}
