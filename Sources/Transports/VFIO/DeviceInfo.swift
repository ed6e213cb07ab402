import CLinux

/// What kind of device it is and how much of it there is. VFIO_USER_DEVICE_GET_INFO; request and
/// reply have the same form. `struct vfio_device_info`
public struct DeviceInfo: Equatable, Sendable {
    public static let size = MemoryLayout<vfio_user_device_info>.size

    /// VFIO_DEVICE_FLAGS_…
    public var flags: Flags
    public var regionCount: UInt32
    public var irqCount: UInt32

    public struct Flags: OptionSet, Sendable {
        public let rawValue: UInt32
        public init(rawValue: UInt32) { self.rawValue = rawValue }
        /// VFIO_USER_DEVICE_RESET works.
        public static let reset = Flags(rawValue: UInt32(VFIO_DEVICE_FLAGS_RESET))
        /// A PCI device.
        public static let pci = Flags(rawValue: UInt32(VFIO_DEVICE_FLAGS_PCI))
    }

    public init(flags: Flags, regionCount: UInt32, irqCount: UInt32) {
        self.flags = flags
        self.regionCount = regionCount
        self.irqCount = irqCount
    }

    /// Checks a request.
    public static func checkRequest(_ payload: RawSpan) throws(MalformedMessage) {
        let wire = try payload.loadAll(vfio_user_device_info.self)
        guard wire.argsz >= UInt32(size) else { throw .argumentSize(wire.argsz, minimum: UInt32(size)) }
    }

    /// Reads a reply.
    public init(_ payload: RawSpan) throws(MalformedMessage) {
        let wire = try payload.load(vfio_user_device_info.self)
        self.init(flags: Flags(rawValue: wire.flags), regionCount: wire.num_regions, irqCount: wire.num_irqs)
    }

    /// - Returns: the number of bytes written.
    public func write(into bytes: inout MutableRawSpan) -> Int {
        bytes.store(
            vfio_user_device_info(
                argsz: UInt32(Self.size), flags: flags.rawValue, num_regions: regionCount, num_irqs: irqCount))
    }
}
