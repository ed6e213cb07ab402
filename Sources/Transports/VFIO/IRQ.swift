import CLinux
import PCI

/// How many interrupts of a type there are and how they behave. VFIO_USER_DEVICE_GET_IRQ_INFO; request and
/// reply have the same form. `struct vfio_irq_info`
public struct IRQInfo: Equatable, Sendable {
    public static let size = MemoryLayout<vfio_irq_info>.size

    public var index: UInt32
    public var flags: Flags
    public var count: UInt32

    public struct Flags: OptionSet, Sendable {
        public let rawValue: UInt32
        public init(rawValue: UInt32) { self.rawValue = rawValue }
        public static let eventfd = Flags(rawValue: UInt32(VFIO_IRQ_INFO_EVENTFD))
        public static let maskable = Flags(rawValue: UInt32(VFIO_IRQ_INFO_MASKABLE))
        public static let automasked = Flags(rawValue: UInt32(VFIO_IRQ_INFO_AUTOMASKED))
        public static let noResize = Flags(rawValue: UInt32(VFIO_IRQ_INFO_NORESIZE))
    }

    public init(index: UInt32, flags: Flags = [], count: UInt32 = 0) {
        self.index = index
        self.flags = flags
        self.count = count
    }

    /// Reads a reply, or a request, of which only ``index`` counts.
    public init(_ payload: RawSpan) throws(MalformedMessage) {
        let wire = try payload.loadAll(vfio_irq_info.self)
        guard wire.argsz >= UInt32(Self.size) else { throw .argumentSize(wire.argsz, minimum: UInt32(Self.size)) }
        self.init(index: wire.index, flags: Flags(rawValue: wire.flags), count: wire.count)
    }

    /// - Returns: the number of bytes written.
    public func write(into bytes: inout MutableRawSpan) -> Int {
        bytes.store(vfio_irq_info(argsz: UInt32(Self.size), flags: flags.rawValue, index: index, count: count))
    }
}

/// Sets up, masks, unmasks or triggers a range of interrupts. VFIO_USER_DEVICE_SET_IRQS; its reply has no
/// payload. `struct vfio_irq_set`
public struct IRQSet: Equatable, Sendable {
    /// The fixed part, in bytes.
    public static let size = MemoryLayout<vfio_user_irq_set>.size

    public var index: UInt32
    /// The first interrupt of the range.
    public var start: UInt32
    public var count: UInt32
    public var data: DataType
    public var action: Action

    /// What comes with the message. VFIO_IRQ_SET_DATA_…
    public enum DataType: UInt32, Sendable {
        /// Nothing: the action holds for the whole range.
        case none = 1
        /// A byte for each interrupt: the action holds where it is not 0.
        case bool = 2
        /// Eventfds, one for each interrupt, in the message's descriptors; none at all takes
        /// away what was set.
        case eventfd = 4
    }

    /// VFIO_IRQ_SET_ACTION_…
    public enum Action: UInt32, Sendable {
        case mask = 8
        case unmask = 16
        case trigger = 32
    }

    public init(kind: InterruptKind, start: UInt32 = 0, count: UInt32, data: DataType, action: Action) {
        self.index = kind.rawValue
        self.start = start
        self.count = count
        self.data = data
        self.action = action
    }

    /// Checks the form. The bytes of ``DataType/bool`` are all of the payload after ``size``.
    public init(_ payload: RawSpan) throws(MalformedMessage) {
        let wire = try payload.load(vfio_user_irq_set.self)
        guard wire.argsz >= UInt32(Self.size) else { throw .argumentSize(wire.argsz, minimum: UInt32(Self.size)) }
        guard let data = DataType(rawValue: wire.flags & 0x7), let action = Action(rawValue: wire.flags & ~0x7) else {
            throw .flags(wire.flags)
        }
        let expected = data == .bool ? Self.size + Int(wire.count) : Self.size
        guard payload.byteCount == expected else { throw .wrongSize(size: payload.byteCount, expected: expected) }
        index = wire.index
        start = wire.start
        count = wire.count
        self.data = data
        self.action = action
    }

    /// Writes the fixed part.
    ///
    /// - Returns: the number of bytes written.
    public func write(into bytes: inout MutableRawSpan) -> Int {
        let size = UInt32(Self.size) &+ (data == .bool ? count : data == .eventfd ? count &* 4 : 0)
        return bytes.store(
            vfio_user_irq_set(
                argsz: size, flags: data.rawValue | action.rawValue, index: index, start: start, count: count))
    }
}
