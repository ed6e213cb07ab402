import CLinux

/// The addresses of a region that reach the server by a descriptor of their own.
/// VFIO_USER_DEVICE_GET_REGION_IO_FDS; vfio-user specification.
public struct RegionIOFDs: Equatable, Sendable {
    /// The fixed part, in bytes.
    public static let size = MemoryLayout<vfio_user_region_io_fds>.size
    /// One entry, in bytes.
    public static let entrySize = MemoryLayout<vfio_user_sub_region>.size

    public var index: UInt32
    public var entries: [Entry]

    /// One range of the region and how it is signalled.
    public struct Entry: Equatable, Sendable {
        public enum Kind: UInt32, Sendable {
            /// VFIO_USER_IO_FD_TYPE_IOEVENTFD
            case ioeventfd = 0
            /// VFIO_USER_IO_FD_TYPE_IOREGIONFD
            case ioregionfd = 1
            /// VFIO_USER_IO_FD_TYPE_IOEVENTFD_SHADOW
            case shadowIOEventFD = 2
        }

        public var offset: UInt64
        /// In bytes; 0 when any width counts.
        public var size: UInt64
        /// Which descriptor of the message it is.
        public var descriptorIndex: UInt32
        public var kind: Kind
        /// KVM_IOEVENTFD_FLAG_…
        public var flags: UInt32
        /// The value that signals, with ``datamatchFlag``.
        public var datamatch: UInt64

        /// KVM_IOEVENTFD_FLAG_DATAMATCH
        public static let datamatchFlag: UInt32 = 1 << 0

        public init(
            offset: UInt64, size: UInt64, descriptorIndex: UInt32, kind: Kind, flags: UInt32 = 0,
            datamatch: UInt64 = 0
        ) {
            self.offset = offset
            self.size = size
            self.descriptorIndex = descriptorIndex
            self.kind = kind
            self.flags = flags
            self.datamatch = datamatch
        }
    }

    public init(index: UInt32, entries: [Entry]) {
        self.index = index
        self.entries = entries
    }

    /// The bytes that a full answer takes.
    public var fullSize: Int { Self.size + entries.count * Self.entrySize }

    /// A question about one region.
    public struct Request: Equatable, Sendable {
        public var index: UInt32
        /// The longest answer that the client takes, in bytes.
        public var argumentSize: UInt32

        public init(index: UInt32, argumentSize: UInt32) {
            self.index = index
            self.argumentSize = argumentSize
        }

        public init(_ payload: RawSpan) throws(MalformedMessage) {
            let wire = try payload.loadAll(vfio_user_region_io_fds.self)
            guard wire.argsz >= UInt32(RegionIOFDs.size) else {
                throw .argumentSize(wire.argsz, minimum: UInt32(RegionIOFDs.size))
            }
            guard wire.flags == 0 else { throw .flags(wire.flags) }
            guard wire.count == 0 else { throw .field("count", value: UInt64(wire.count)) }
            index = wire.index
            argumentSize = wire.argsz
        }

        public func write(into bytes: inout MutableRawSpan) -> Int {
            bytes.store(vfio_user_region_io_fds(argsz: argumentSize, flags: 0, index: index, count: 0))
        }
    }

    /// Writes the answer; only the fixed part for a client that takes less than ``fullSize`` bytes.
    ///
    /// - Returns: the number of bytes written, and whether the entries are among them.
    public func write(into bytes: inout MutableRawSpan, argumentSize: UInt32) -> (count: Int, complete: Bool) {
        let complete = Int(argumentSize) >= fullSize
        var end = bytes.store(
            vfio_user_region_io_fds(
                argsz: UInt32(fullSize), flags: 0, index: index, count: complete ? UInt32(entries.count) : 0))
        guard complete else { return (end, false) }
        for entry in entries {
            end = bytes.store(
                vfio_user_sub_region(
                    offset: entry.offset, size: entry.size, fd_index: entry.descriptorIndex, type: entry.kind.rawValue,
                    flags: entry.flags, padding: 0, datamatch: entry.datamatch), at: end)
        }
        return (end, true)
    }

    /// What a reply said: the answer, and how many bytes a complete one takes.
    public struct Reply: Equatable, Sendable {
        public var info: RegionIOFDs
        public var argumentSize: UInt32

        public init(_ payload: RawSpan) throws(MalformedMessage) {
            let wire = try payload.load(vfio_user_region_io_fds.self)
            info = RegionIOFDs(index: wire.index, entries: [])
            argumentSize = wire.argsz
            for number in 0..<Int(wire.count) {
                let entry = try payload.load(
                    vfio_user_sub_region.self, at: RegionIOFDs.size + number * RegionIOFDs.entrySize)
                guard let kind = Entry.Kind(rawValue: entry.type) else {
                    throw .field("type", value: UInt64(entry.type))
                }
                info.entries.append(
                    Entry(
                        offset: entry.offset, size: entry.size, descriptorIndex: entry.fd_index, kind: kind,
                        flags: entry.flags, datamatch: entry.datamatch))
            }
        }
    }
}
