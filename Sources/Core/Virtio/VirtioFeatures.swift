/// The feature bits of the transport and the queues. VIRTIO 1.2, section 6.
public struct VirtioFeatures: OptionSet, Sendable {
    public let rawValue: UInt64

    public init(rawValue: UInt64) {
        self.rawValue = rawValue
    }

    /// `VIRTIO_F_INDIRECT_DESC`: a descriptor may stand for a table of descriptors.
    public static let indirectDescriptors = VirtioFeatures(rawValue: 1 << 28)
    /// `VIRTIO_F_EVENT_IDX`: each side says from which buffer on it wants to be told.
    public static let eventIndex = VirtioFeatures(rawValue: 1 << 29)
    /// `VIRTIO_F_VERSION_1`: what drivers must take.
    public static let version1 = VirtioFeatures(rawValue: 1 << 32)
    /// `VIRTIO_F_ACCESS_PLATFORM`: addresses are what the platform gives the driver for the device: a vfio-user
    /// client's maps are by I/O virtual address, and so they are right with an IOMMU too.
    public static let accessPlatform = VirtioFeatures(rawValue: 1 << 33)
    /// `VIRTIO_F_RING_PACKED`: packed rings instead of split ones.
    public static let packedRing = VirtioFeatures(rawValue: 1 << 34)
    /// `VIRTIO_F_RING_RESET`: single queues can be reset.
    public static let ringReset = VirtioFeatures(rawValue: 1 << 40)
}

/// Device status. VIRTIO 1.2, section 2.1.
struct DeviceStatus: OptionSet, Sendable {
    let rawValue: UInt8

    static let acknowledge = DeviceStatus(rawValue: 1)
    static let driver = DeviceStatus(rawValue: 2)
    static let driverOK = DeviceStatus(rawValue: 4)
    static let featuresOK = DeviceStatus(rawValue: 8)
    static let needsReset = DeviceStatus(rawValue: 64)
    static let failed = DeviceStatus(rawValue: 128)

    /// What a driver sets.
    static let drivers: DeviceStatus = [.acknowledge, .driver, .driverOK, .featuresOK, .failed]
}
