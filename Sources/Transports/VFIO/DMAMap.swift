import CLinux

/// What a device may do with a range of the guest's memory. Flags of VFIO_USER_DMA_MAP.
public struct DMAMapFlags: OptionSet, Sendable {
    public let rawValue: UInt32
    public init(rawValue: UInt32) { self.rawValue = rawValue }
    public static let read = DMAMapFlags(rawValue: UInt32(VFIO_DMA_MAP_FLAG_READ))
    public static let write = DMAMapFlags(rawValue: UInt32(VFIO_DMA_MAP_FLAG_WRITE))
    static let known: DMAMapFlags = [.read, .write]
}

/// Makes a range of the client's memory available to the device. VFIO_USER_DMA_MAP; its reply has
/// no payload. A descriptor in the message is the file to map.
public struct DMAMap: Equatable, Sendable {
    public static let size = MemoryLayout<vfio_user_dma_map>.size

    public var flags: DMAMapFlags
    /// Where the range begins in the file; 0 without one.
    public var offset: UInt64
    /// The I/O virtual address of its first byte.
    public var address: UInt64
    /// In bytes.
    public var length: UInt64

    public init(flags: DMAMapFlags, offset: UInt64 = 0, address: UInt64, length: UInt64) {
        self.flags = flags
        self.offset = offset
        self.address = address
        self.length = length
    }

    /// Checks the form; that address and length make sense is for the address space to say.
    public init(_ payload: RawSpan) throws(MalformedMessage) {
        let wire = try payload.loadAll(vfio_user_dma_map.self)
        guard wire.argsz >= UInt32(Self.size) else {
            throw .argumentSize(wire.argsz, minimum: UInt32(Self.size))
        }
        flags = DMAMapFlags(rawValue: wire.flags)
        guard flags.isSubset(of: .known) else { throw .flags(wire.flags) }
        offset = wire.offset
        address = wire.address
        length = wire.size
    }

    /// - Returns: the number of bytes written.
    public func write(into bytes: inout MutableRawSpan) -> Int {
        bytes.store(
            vfio_user_dma_map(
                argsz: UInt32(Self.size), flags: flags.rawValue, offset: offset, address: address, size: length))
    }
}

/// Takes a range away from the device. VFIO_USER_DMA_UNMAP. The reply repeats the request, with the dirty
/// bitmap behind it when that was asked for.
public struct DMAUnmap: Equatable, Sendable {
    public static let size = MemoryLayout<vfio_user_dma_unmap>.size
    /// What a bitmap adds, in bytes, before its bits.
    public static let bitmapSize = MemoryLayout<vfio_user_bitmap>.size

    public var argumentSize: UInt32
    /// The I/O virtual address and the length in bytes of an earlier map; both 0 for ``all``.
    public var address: UInt64
    public var length: UInt64
    /// Unmap everything. VFIO_DMA_UNMAP_FLAG_ALL
    public var all: Bool
    /// Report which pages were written. VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP
    public var bitmap: Bitmap?

    /// The dirty bitmap that a client asks for. `struct vfio_bitmap`
    public struct Bitmap: Equatable, Sendable {
        /// Bytes for each bit.
        public var pageSize: UInt64
        /// Bytes of the bitmap.
        public var size: UInt64

        public init(pageSize: UInt64, size: UInt64) {
            self.pageSize = pageSize
            self.size = size
        }
    }

    public init(address: UInt64, length: UInt64, all: Bool = false, bitmap: Bitmap? = nil) {
        self.address = address
        self.length = length
        self.all = all
        self.bitmap = bitmap
        argumentSize = UInt32(Self.size)
        if let bitmap { argumentSize &+= UInt32(Self.bitmapSize) &+ UInt32(truncatingIfNeeded: bitmap.size) }
    }

    public init(_ payload: RawSpan) throws(MalformedMessage) {
        let wire = try payload.load(vfio_user_dma_unmap.self)
        let flags = Int32(bitPattern: wire.flags)
        guard flags & ~(VFIO_DMA_UNMAP_FLAG_ALL | VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP) == 0 else {
            throw .flags(wire.flags)
        }
        argumentSize = wire.argsz
        address = wire.address
        length = wire.size
        all = flags & VFIO_DMA_UNMAP_FLAG_ALL != 0
        var expected = Self.size
        if flags & VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP != 0 {
            // As in the kernel: all of the address space at once has no bitmap.
            guard !all else { throw .flags(wire.flags) }
            let bitmap = try payload.load(vfio_user_bitmap.self, at: Self.size)
            self.bitmap = Bitmap(pageSize: bitmap.page_size, size: bitmap.size)
            expected += Self.bitmapSize
        }
        guard payload.byteCount == expected else { throw .wrongSize(size: payload.byteCount, expected: expected) }
        guard wire.argsz >= UInt32(Self.size) else {
            throw .argumentSize(wire.argsz, minimum: UInt32(Self.size))
        }
        guard !all || (address == 0 && length == 0) else { throw .field("address or size", value: address | length) }
    }

    /// Writes request or reply, but for the bitmap's bits.
    ///
    /// - Returns: the number of bytes written.
    public func write(into bytes: inout MutableRawSpan) -> Int {
        let flags =
            (all ? VFIO_DMA_UNMAP_FLAG_ALL : 0) | (bitmap == nil ? 0 : VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP)
        let end = bytes.store(
            vfio_user_dma_unmap(argsz: argumentSize, flags: UInt32(flags), address: address, size: length))
        guard let bitmap else { return end }
        return bytes.store(vfio_user_bitmap(page_size: bitmap.pageSize, size: bitmap.size), at: end)
    }
}
