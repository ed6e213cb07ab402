import CLinux

/// The addresses of a region that reach the server by a descriptor of their own.
/// VFIO_USER_DEVICE_GET_REGION_IO_FDS; vfio-user specification.
public struct RegionIOFDs: Equatable, Sendable {
    /// The fixed part, in bytes.
    public static let size = MemoryLayout<vfio_user_region_io_fds>.size
    /// One entry, in bytes, as the specification has it.
    public static let entrySize = MemoryLayout<vfio_user_sub_region>.size
    /// One entry, in bytes, as libvfio-user has it, with room for shadow memory: all entries of an answer that has one
    /// of those.
    public static let shadowEntrySize = MemoryLayout<vfio_user_sub_region_shadow>.size

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
        /// The value that signals, with ``datamatchFlag``. With an ioregionfd: the `user_data` of its commands.
        public var datamatch: UInt64
        /// Where the written value is stored before the signal, for a shadow ioeventfd: which descriptor of the
        /// message, and where in its memory, in bytes.
        public var shadow: Shadow?

        public struct Shadow: Equatable, Sendable {
            public var descriptorIndex: UInt32
            public var offset: UInt64

            public init(descriptorIndex: UInt32, offset: UInt64) {
                self.descriptorIndex = descriptorIndex
                self.offset = offset
            }
        }

        /// KVM_IOEVENTFD_FLAG_DATAMATCH
        public static let datamatchFlag: UInt32 = 1 << 0
        /// KVM_IOEVENTFD_FLAG_PIO
        public static let portsFlag: UInt32 = 1 << 1

        public init(
            offset: UInt64, size: UInt64, descriptorIndex: UInt32, kind: Kind, flags: UInt32 = 0,
            datamatch: UInt64 = 0, shadow: Shadow? = nil
        ) {
            self.offset = offset
            self.size = size
            self.descriptorIndex = descriptorIndex
            self.kind = kind
            self.flags = flags
            self.datamatch = datamatch
            self.shadow = shadow
        }
    }

    public init(index: UInt32, entries: [Entry]) {
        self.index = index
        self.entries = entries
    }

    /// The bytes that a full answer takes.
    public var fullSize: Int {
        Self.size + entries.count * (hasShadows ? Self.shadowEntrySize : Self.entrySize)
    }

    private var hasShadows: Bool { entries.contains { $0.shadow != nil } }

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
        let hasShadows = hasShadows
        for entry in entries {
            end =
                hasShadows
                ? bytes.store(
                    vfio_user_sub_region_shadow(
                        offset: entry.offset, size: entry.size, fd_index: entry.descriptorIndex,
                        type: entry.kind.rawValue, flags: entry.flags,
                        shadow_mem_fd_index: entry.shadow?.descriptorIndex ?? 0,
                        shadow_offset: entry.shadow?.offset ?? 0,
                        datamatch: entry.datamatch), at: end)
                : bytes.store(
                    vfio_user_sub_region(
                        offset: entry.offset, size: entry.size, fd_index: entry.descriptorIndex,
                        type: entry.kind.rawValue, flags: entry.flags, padding: 0, datamatch: entry.datamatch), at: end)
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
            guard wire.count > 0 else { return }
            // Which of the two layouts it is, the length tells.
            let isLong =
                UInt64(payload.byteCount - RegionIOFDs.size)
                >= UInt64(wire.count) * UInt64(RegionIOFDs.shadowEntrySize)
            for number in 0..<Int(wire.count) {
                info.entries.append(try isLong ? Self.longEntry(payload, number) : Self.entry(payload, number))
            }
        }

        private static func entry(_ payload: RawSpan, _ number: Int) throws(MalformedMessage) -> Entry {
            let wire = try payload.load(
                vfio_user_sub_region.self, at: RegionIOFDs.size + number * RegionIOFDs.entrySize)
            return Entry(
                offset: wire.offset, size: wire.size, descriptorIndex: wire.fd_index, kind: try kind(wire.type),
                flags: wire.flags, datamatch: wire.datamatch)
        }

        private static func longEntry(_ payload: RawSpan, _ number: Int) throws(MalformedMessage) -> Entry {
            let wire = try payload.load(
                vfio_user_sub_region_shadow.self, at: RegionIOFDs.size + number * RegionIOFDs.shadowEntrySize)
            let kind = try kind(wire.type)
            return Entry(
                offset: wire.offset, size: wire.size, descriptorIndex: wire.fd_index, kind: kind, flags: wire.flags,
                datamatch: wire.datamatch,
                shadow: kind == .shadowIOEventFD
                    ? .init(descriptorIndex: wire.shadow_mem_fd_index, offset: wire.shadow_offset) : nil)
        }

        private static func kind(_ type: UInt32) throws(MalformedMessage) -> Entry.Kind {
            guard let kind = Entry.Kind(rawValue: type) else { throw .field("type", value: UInt64(type)) }
            return kind
        }
    }
}
