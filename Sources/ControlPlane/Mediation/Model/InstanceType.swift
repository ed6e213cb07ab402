import Device

/// A kind of vGPU that can be had: a device with its settings. What sysfs shows under `mdev_supported_types`.
public struct InstanceType: Equatable, Codable, Sendable {
    public var name: String
    /// One line.
    public var description: String
    /// The device's name in the catalog.
    public var device: String
    public var limits: Limits
    /// As `1024x768`; nil for what is no display.
    public var resolution: String?
    /// How many monitors there can be.
    public var heads: Int
    /// Options of the device that are not its defaults.
    public var options: [Attribute]

    /// How a VMM attaches to it. mdevctl's `device_api`
    public static let deviceAPI = "vfio-user-pci"

    public init(
        name: String, description: String, device: String, limits: Limits = Limits(), resolution: String? = nil,
        heads: Int = 0, options: [Attribute] = []
    ) {
        self.name = name
        self.description = description
        self.device = device
        self.limits = limits
        self.resolution = resolution
        self.heads = heads
        self.options = options
    }

    /// The type that comes with a device: the device as it is when nothing is chosen.
    public init(_ type: DeviceType) throws(OptionError) {
        let standard = try DeviceOptions(for: type)
        let resolution = standard.text("resolution")
        let heads = standard.integer("heads")
        self.init(
            name: type.name, description: type.summary, device: type.name,
            limits: Limits(videoMemory: standard.integer("vram")), resolution: resolution,
            heads: heads > 0 ? heads : resolution == nil ? 0 : 1)
    }
}
