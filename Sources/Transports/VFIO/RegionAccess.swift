import CLinux

/// One read or write of a region. VFIO_USER_REGION_READ, VFIO_USER_REGION_WRITE; the reply repeats it.
public struct RegionAccess: Equatable, Sendable {
    /// The fixed part, in bytes; the data follows.
    public static let size = MemoryLayout<vfio_user_region_access>.size

    /// In bytes from the beginning of the region.
    public var offset: UInt64
    public var region: UInt32
    /// In bytes.
    public var count: UInt32

    @inlinable
    public init(region: UInt32, offset: UInt64, count: UInt32) {
        self.region = region
        self.offset = offset
        self.count = count
    }

    /// Reads the request of a read: the fixed part alone.
    @inlinable
    public init(read payload: RawSpan) throws(MalformedMessage) {
        self.init(try payload.loadAll(vfio_user_region_access.self))
    }

    /// Reads the request of a write, or the reply to a read: `count` bytes follow the fixed part.
    ///
    /// - Parameter taken: how many of these bytes are not there any more.
    @inlinable
    public init(withData payload: RawSpan, taken: Int = 0) throws(MalformedMessage) {
        self.init(try payload.load(vfio_user_region_access.self))
        guard payload.byteCount - Self.size == Int(count) - taken else {
            throw .wrongSize(size: payload.byteCount, expected: Self.size + Int(count) - taken)
        }
    }

    @inlinable
    init(_ wire: vfio_user_region_access) {
        self.init(region: wire.region, offset: wire.offset, count: wire.count)
    }

    /// Writes the fixed part at `position`.
    ///
    /// - Returns: the offset behind it.
    @inlinable
    @discardableResult
    public func write(into bytes: inout MutableRawSpan, at position: Int = 0) -> Int {
        bytes.store(vfio_user_region_access(offset: offset, region: region, count: count), at: position)
    }
}

/// One of the writes that a message carries together. VFIO_USER_REGION_WRITE_MULTI
public struct SmallRegionWrite: Equatable, Sendable {
    public static let size = MemoryLayout<vfio_user_region_write>.size
    /// The most writes that one message may carry: a device may need long for each. The specification sets no limit;
    /// QEMU sends 200 at most.
    public static let maximumCount = 1024

    public var region: UInt32
    public var offset: UInt64
    /// Bytes of ``data`` that count, 1 to 8.
    public var count: UInt32
    /// The bytes, first one lowest.
    public var data: UInt64

    public init(region: UInt32, offset: UInt64, count: UInt32, data: UInt64) {
        self.region = region
        self.offset = offset
        self.count = count
        self.data = data
    }

    /// How many writes the message says it has; they follow the count, one after the other.
    public static func count(_ payload: RawSpan) throws(MalformedMessage) -> Int {
        let count = try payload.load(UInt64.self)
        let room = payload.byteCount - 8
        guard count <= UInt64(min(room / size, maximumCount)), Int(count) * size == room else {
            throw .field("wr_cnt", value: count)
        }
        return Int(count)
    }

    /// Reads the write that stands at position `number` of a message whose count was checked.
    public init(number: Int, of payload: RawSpan) throws(MalformedMessage) {
        let wire = try payload.load(vfio_user_region_write.self, at: 8 + number * Self.size)
        guard (1...8).contains(wire.count) else { throw .field("count", value: UInt64(wire.count)) }
        self.init(region: wire.region, offset: wire.offset, count: wire.count, data: wire.data)
    }

    /// Where the data of write number `number` stands in the payload: ``count`` bytes.
    public static func dataOffset(number: Int) -> Int {
        8 + number * size + MemoryLayout<vfio_user_region_write>.offset(of: \.data)!
    }

    /// Writes it as number `number` of a message.
    public func write(into bytes: inout MutableRawSpan, number: Int) {
        bytes.store(
            vfio_user_region_write(offset: offset, region: region, count: count, data: data),
            at: 8 + number * Self.size)
    }
}
