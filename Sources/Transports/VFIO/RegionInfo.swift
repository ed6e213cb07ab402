import CLinux

/// How large a region is and what may be done with it. VFIO_USER_DEVICE_GET_REGION_INFO,
/// `struct vfio_region_info` and its capabilities.
///
/// The answer comes in two steps: a client whose `argsz` is too small for the capabilities gets the
/// fixed part with the `argsz` that it needs, and asks again.
public struct RegionInfo: Equatable, Sendable {
    /// The fixed part, in bytes.
    public static let size = MemoryLayout<vfio_region_info>.size
    /// The most sparse areas that one answer describes.
    public static let maximumAreas = 256

    public var index: UInt32
    public var flags: Flags
    /// In bytes; 0 when the device has no such region.
    public var length: UInt64
    /// What to give `mmap(2)` for the region's first byte.
    public var offset: UInt64
    /// The parts that may be mapped, when not all of it. VFIO_REGION_INFO_CAP_SPARSE_MMAP
    public var sparseAreas: [Area]
    /// What a device-specific region is. VFIO_REGION_INFO_CAP_TYPE
    public var specific: SpecificType?

    public struct Flags: OptionSet, Sendable {
        public let rawValue: UInt32
        public init(rawValue: UInt32) { self.rawValue = rawValue }
        public static let read = Flags(rawValue: UInt32(VFIO_REGION_INFO_FLAG_READ))
        public static let write = Flags(rawValue: UInt32(VFIO_REGION_INFO_FLAG_WRITE))
        /// A descriptor to map comes with the answer.
        public static let mmap = Flags(rawValue: UInt32(VFIO_REGION_INFO_FLAG_MMAP))
        static let capabilities = Flags(rawValue: UInt32(VFIO_REGION_INFO_FLAG_CAPS))
    }

    /// A part of a region, in bytes from its beginning.
    public struct Area: Equatable, Sendable {
        public var offset: UInt64
        public var size: UInt64

        public init(offset: UInt64, size: UInt64) {
            self.offset = offset
            self.size = size
        }
    }

    /// Type and subtype of a region that PCI doesn't know.
    public struct SpecificType: Equatable, Sendable {
        public var type: UInt32
        public var subtype: UInt32

        public init(type: UInt32, subtype: UInt32) {
            self.type = type
            self.subtype = subtype
        }
    }

    public init(
        index: UInt32, flags: Flags = [], length: UInt64 = 0, offset: UInt64 = 0, sparseAreas: [Area] = [],
        specific: SpecificType? = nil
    ) {
        self.index = index
        self.flags = flags
        self.length = length
        self.offset = offset
        self.sparseAreas = sparseAreas
        self.specific = specific
    }

    private static let sparseHeader = MemoryLayout<vfio_user_sparse_header>.size
    private static let areaSize = MemoryLayout<vfio_region_sparse_mmap_area>.size
    private static let typeSize = MemoryLayout<vfio_region_info_cap_type>.size

    /// The bytes that a full answer takes.
    public var fullSize: Int {
        var size = Self.size
        if !sparseAreas.isEmpty { size += Self.sparseHeader + sparseAreas.count * Self.areaSize }
        if specific != nil { size += Self.typeSize }
        return size
    }

    // MARK: Request

    /// A question about one region.
    public struct Request: Equatable, Sendable {
        public var index: UInt32
        /// The longest answer that the client takes, in bytes.
        public var argumentSize: UInt32

        public init(index: UInt32, argumentSize: UInt32 = UInt32(RegionInfo.size)) {
            self.index = index
            self.argumentSize = argumentSize
        }

        public init(_ payload: RawSpan) throws(MalformedMessage) {
            let wire = try payload.load(vfio_region_info.self)
            // QEMU sends a request as long as the answer that it expects.
            guard wire.argsz >= UInt32(RegionInfo.size) else {
                throw .argumentSize(wire.argsz, minimum: UInt32(RegionInfo.size))
            }
            guard payload.byteCount <= Int(wire.argsz) else {
                throw .wrongSize(size: payload.byteCount, expected: Int(wire.argsz))
            }
            index = wire.index
            argumentSize = wire.argsz
        }

        public func write(into bytes: inout MutableRawSpan) -> Int {
            bytes.store(
                vfio_region_info(argsz: argumentSize, flags: 0, index: index, cap_offset: 0, size: 0, offset: 0))
        }
    }

    // MARK: Reply

    /// Writes the answer for a client that takes `argumentSize` bytes.
    ///
    /// - Returns: the number of bytes written, and whether the answer is complete: only then may a
    ///   descriptor go with it.
    public func write(into bytes: inout MutableRawSpan, argumentSize: UInt32) -> (count: Int, complete: Bool) {
        let needed = fullSize
        let complete = Int(argumentSize) >= needed
        let hasCapabilities = needed > Self.size
        var sent = flags
        if !complete { sent.remove(.mmap) }
        if complete && hasCapabilities { sent.insert(.capabilities) }
        var end = bytes.store(
            vfio_region_info(
                argsz: UInt32(needed), flags: sent.rawValue, index: index,
                cap_offset: complete && hasCapabilities ? UInt32(Self.size) : 0, size: length, offset: offset))
        guard complete else { return (end, false) }
        if !sparseAreas.isEmpty {
            let next = end + Self.sparseHeader + sparseAreas.count * Self.areaSize
            end = bytes.store(
                vfio_user_sparse_header(
                    id: UInt16(VFIO_REGION_INFO_CAP_SPARSE_MMAP), version: 1,
                    next: specific == nil ? 0 : UInt32(next), nr_areas: UInt32(sparseAreas.count), reserved: 0),
                at: end)
            for area in sparseAreas {
                end = bytes.store(vfio_region_sparse_mmap_area(offset: area.offset, size: area.size), at: end)
            }
        }
        if let specific {
            end = bytes.store(
                vfio_region_info_cap_type(
                    header: vfio_info_cap_header(id: UInt16(VFIO_REGION_INFO_CAP_TYPE), version: 1, next: 0),
                    type: specific.type,
                    subtype: specific.subtype), at: end)
        }
        return (end, true)
    }

    /// What a reply said: the answer, and how many bytes a complete one takes.
    public struct Reply: Equatable, Sendable {
        public var info: RegionInfo
        public var argumentSize: UInt32

        /// Reads a reply. A capability that nobody knows is passed over.
        public init(_ payload: RawSpan) throws(MalformedMessage) {
            let wire = try payload.load(vfio_region_info.self)
            info = RegionInfo(
                index: wire.index, flags: Flags(rawValue: wire.flags), length: wire.size, offset: wire.offset)
            argumentSize = wire.argsz
            guard info.flags.contains(.capabilities) else { return }
            info.flags.remove(.capabilities)
            var position = Int(wire.cap_offset)
            // A list that doesn't go forward is a loop.
            while position != 0 {
                let header = try payload.load(vfio_info_cap_header.self, at: position)
                switch Int32(header.id) {
                case VFIO_REGION_INFO_CAP_SPARSE_MMAP:
                    let sparse = try payload.load(vfio_user_sparse_header.self, at: position)
                    // In all: many short capabilities could otherwise name the same bytes again and again.
                    guard Int(sparse.nr_areas) <= RegionInfo.maximumAreas - info.sparseAreas.count else {
                        throw .field("nr_areas", value: UInt64(sparse.nr_areas))
                    }
                    for number in 0..<Int(sparse.nr_areas) {
                        let area = try payload.load(
                            vfio_region_sparse_mmap_area.self,
                            at: position + RegionInfo.sparseHeader + number * RegionInfo.areaSize)
                        info.sparseAreas.append(Area(offset: area.offset, size: area.size))
                    }
                case VFIO_REGION_INFO_CAP_TYPE:
                    let type = try payload.load(vfio_region_info_cap_type.self, at: position)
                    info.specific = SpecificType(type: type.type, subtype: type.subtype)
                default: break
                }
                guard header.next == 0 || Int(header.next) > position else {
                    throw .field("next", value: UInt64(header.next))
                }
                position = Int(header.next)
            }
        }
    }
}
