import CLinux

/// Gets, sets or probes a feature. VFIO_USER_DEVICE_FEATURE, `struct vfio_device_feature`; the data that a
/// feature has follows the fixed part.
public struct DeviceFeature: Equatable, Sendable {
    /// The fixed part, in bytes.
    public static let size = MemoryLayout<vfio_user_feature>.size

    /// The longest answer that the client takes, or the length of this one, in bytes.
    public var argumentSize: UInt32
    /// A ``Feature``, or a number that nobody knows. The low 16 bits of the flags.
    public var index: UInt16
    public var operations: Operations

    public struct Operations: OptionSet, Sendable {
        public let rawValue: UInt32
        public init(rawValue: UInt32) { self.rawValue = rawValue }
        /// VFIO_DEVICE_FEATURE_GET
        public static let get = Operations(rawValue: UInt32(VFIO_DEVICE_FEATURE_GET))
        /// VFIO_DEVICE_FEATURE_SET
        public static let set = Operations(rawValue: UInt32(VFIO_DEVICE_FEATURE_SET))
        /// VFIO_DEVICE_FEATURE_PROBE
        public static let probe = Operations(rawValue: UInt32(VFIO_DEVICE_FEATURE_PROBE))
        static let known: Operations = [.get, .set, .probe]
    }

    public init(_ feature: Feature, _ operations: Operations, argumentSize: UInt32) {
        self.argumentSize = argumentSize
        self.index = feature.rawValue
        self.operations = operations
    }

    public init(_ payload: RawSpan) throws(MalformedMessage) {
        let wire = try payload.load(vfio_user_feature.self)
        argumentSize = wire.argsz
        index = UInt16(truncatingIfNeeded: wire.flags)
        operations = Operations(rawValue: wire.flags & ~0xffff)
        guard wire.argsz >= UInt32(Self.size) else { throw .argumentSize(wire.argsz, minimum: UInt32(Self.size)) }
        guard operations.isSubset(of: .known), !operations.isEmpty else { throw .flags(wire.flags) }
        // Getting and setting exclude each other, but both may be probed at once.
        guard operations != [.get, .set] else { throw .flags(wire.flags) }
    }

    /// Writes the fixed part.
    ///
    /// - Returns: the number of bytes written.
    @discardableResult
    public func write(into bytes: inout MutableRawSpan) -> Int {
        bytes.store(vfio_user_feature(argsz: argumentSize, flags: UInt32(index) | operations.rawValue))
    }
}

/// The features that vfio-user has: those of migration. VFIO_DEVICE_FEATURE_…
public enum Feature: UInt16, Sendable {
    /// VFIO_DEVICE_FEATURE_MIGRATION
    case migration = 1
    /// VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE
    case migrationState = 2
    /// VFIO_DEVICE_FEATURE_DMA_LOGGING_START
    case dmaLoggingStart = 6
    /// VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP
    case dmaLoggingStop = 7
    /// VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT
    case dmaLoggingReport = 8
}

/// What of migration a device can do: the data of ``Feature/migration``.
public struct MigrationFlags: OptionSet, Sendable {
    public static let size = 8
    public let rawValue: UInt64
    public init(rawValue: UInt64) { self.rawValue = rawValue }
    /// VFIO_MIGRATION_STOP_COPY
    public static let stopCopy = MigrationFlags(rawValue: UInt64(VFIO_MIGRATION_STOP_COPY))
    /// VFIO_MIGRATION_P2P
    public static let peerToPeer = MigrationFlags(rawValue: UInt64(VFIO_MIGRATION_P2P))
    /// VFIO_MIGRATION_PRE_COPY
    public static let preCopy = MigrationFlags(rawValue: 1 << 2)

    /// Reads the data of a reply.
    public init(_ data: RawSpan) throws(MalformedMessage) {
        self.init(rawValue: try data.load(UInt64.self))
    }

    public func write(into bytes: inout MutableRawSpan, at position: Int) -> Int {
        bytes.store(rawValue, at: position)
    }
}

/// Where a device is in its migration. `enum vfio_device_mig_state`
public enum MigrationState: UInt32, CaseIterable, Sendable {
    /// The device has failed and must be reset.
    case error = 0
    /// It changes nothing, inside or outside.
    case stop = 1
    case running = 2
    /// Stopped, and its state can be read.
    case stopCopy = 3
    /// Stopped, and takes a new state.
    case resuming = 4
    case runningPeerToPeer = 5
    /// Running, and its state can be read.
    case preCopy = 6
    case preCopyPeerToPeer = 7
}

/// The state a device is in or shall go to: the data of ``Feature/migrationState``.
/// `struct vfio_device_feature_mig_state`
public struct MigrationStateData: Equatable, Sendable {
    public static let size = MemoryLayout<vfio_user_mig_state>.size

    /// A ``MigrationState``, or a number that nobody knows.
    public var state: UInt32

    public init(_ state: MigrationState) {
        self.state = state.rawValue
    }

    public init(_ data: RawSpan) throws(MalformedMessage) {
        state = try data.loadAll(vfio_user_mig_state.self).device_state
    }

    public func write(into bytes: inout MutableRawSpan, at position: Int) -> Int {
        // data_fd has no use in vfio-user: migration data travels in messages.
        bytes.store(vfio_user_mig_state(device_state: state, data_fd: 0), at: position)
    }
}

/// Which writes to the client's memory are to be logged: the data of ``Feature/dmaLoggingStart``, but for
/// the ranges, which follow. `struct vfio_device_feature_dma_logging_control`
public struct DMALoggingControl: Equatable, Sendable {
    /// The fixed part, in bytes.
    public static let size = MemoryLayout<vfio_user_dma_logging>.size
    static let rangeSize = MemoryLayout<vfio_user_dma_range>.size
    /// The most ranges that one message may name, as in the kernel (LOG_MAX_RANGES).
    public static let maximumRanges = 4096

    /// Bytes for each bit of the log.
    public var pageSize: UInt64
    /// None: log every write.
    public var ranges: [Range]

    /// Addresses to log.
    public struct Range: Equatable, Sendable {
        public var address: UInt64
        public var length: UInt64

        public init(address: UInt64, length: UInt64) {
            self.address = address
            self.length = length
        }
    }

    public init(pageSize: UInt64, ranges: [Range]) {
        self.pageSize = pageSize
        self.ranges = ranges
    }

    public init(_ data: RawSpan) throws(MalformedMessage) {
        let wire = try data.load(vfio_user_dma_logging.self)
        pageSize = wire.page_size
        guard wire.num_ranges <= UInt32(Self.maximumRanges) else {
            throw .field("num_ranges", value: UInt64(wire.num_ranges))
        }
        guard wire.reserved == 0 else { throw .field("reserved", value: UInt64(wire.reserved)) }
        let expected = Self.size + Int(wire.num_ranges) * Self.rangeSize
        guard data.byteCount == expected else { throw .wrongSize(size: data.byteCount, expected: expected) }
        ranges = []
        for number in 0..<Int(wire.num_ranges) {
            let range = try data.load(vfio_user_dma_range.self, at: Self.size + number * Self.rangeSize)
            ranges.append(Range(address: range.iova, length: range.length))
        }
    }

    public func write(into bytes: inout MutableRawSpan, at position: Int) -> Int {
        var end = bytes.store(
            vfio_user_dma_logging(page_size: pageSize, num_ranges: UInt32(ranges.count), reserved: 0), at: position)
        for range in ranges {
            end = bytes.store(vfio_user_dma_range(iova: range.address, length: range.length), at: end)
        }
        return end
    }
}

/// Which pages to report: the data of ``Feature/dmaLoggingReport``; in the reply the bitmap follows.
/// `struct vfio_device_feature_dma_logging_report`
public struct DMALoggingReport: Equatable, Sendable {
    public static let size = MemoryLayout<vfio_user_dma_report>.size

    public var address: UInt64
    /// In bytes.
    public var length: UInt64
    /// Bytes for each bit; a power of two.
    public var pageSize: UInt64

    public init(address: UInt64, length: UInt64, pageSize: UInt64) {
        self.address = address
        self.length = length
        self.pageSize = pageSize
    }

    /// Reads the fixed part.
    public init(_ data: RawSpan) throws(MalformedMessage) {
        let wire = try data.load(vfio_user_dma_report.self)
        self.init(address: wire.iova, length: wire.length, pageSize: wire.page_size)
    }

    public func write(into bytes: inout MutableRawSpan, at position: Int) -> Int {
        bytes.store(vfio_user_dma_report(iova: address, length: length, page_size: pageSize), at: position)
    }
}

/// A piece of a device's saved state. VFIO_USER_MIG_DATA_READ, VFIO_USER_MIG_DATA_WRITE
public struct MigrationData: Equatable, Sendable {
    /// The fixed part, in bytes; the data follows.
    public static let size = MemoryLayout<vfio_user_mig_data>.size

    public var argumentSize: UInt32
    /// Bytes to read, read, or written.
    public var count: UInt32

    /// - Parameter count: bytes of data.
    public init(count: UInt32) {
        self.count = count
        argumentSize = UInt32(Self.size) &+ count
    }

    /// Reads the request of a read.
    public init(read payload: RawSpan) throws(MalformedMessage) {
        let wire = try payload.loadAll(vfio_user_mig_data.self)
        argumentSize = wire.argsz
        count = wire.size
        guard argumentSize >= UInt32(Self.size) else {
            throw .argumentSize(argumentSize, minimum: UInt32(Self.size))
        }
    }

    /// Reads the request of a write, or the reply to a read.
    public init(withData payload: RawSpan) throws(MalformedMessage) {
        let wire = try payload.load(vfio_user_mig_data.self)
        argumentSize = wire.argsz
        count = wire.size
        guard payload.byteCount - Self.size == Int(count) else {
            throw .wrongSize(size: payload.byteCount, expected: Self.size + Int(count))
        }
    }

    @discardableResult
    public func write(into bytes: inout MutableRawSpan) -> Int {
        bytes.store(vfio_user_mig_data(argsz: argumentSize, size: count))
    }
}
