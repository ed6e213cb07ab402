/// A type as the daemon shows it: what sysfs has under `mdev_supported_types`.
public struct SupportedType: Codable, Equatable, Sendable {
    public var name: String
    public var description: String
    /// The device in the catalog.
    public var device: String
    /// How a VMM attaches to it: `vfio-user-pci`.
    public var deviceAPI: String
    /// In bytes; 0 for what is no display.
    public var videoMemory: Int
    /// As `1024x768`; absent for what is no display.
    public var resolution: String?
    public var heads: Int
    public var weight: Int
    /// Pictures a second; 0: unlimited.
    public var frameRate: Int
    public var parents: [Availability]

    /// How many more instances a parent could back now.
    public struct Availability: Codable, Equatable, Sendable {
        public var parent: String
        public var availableInstances: Int

        public init(parent: String, availableInstances: Int) {
            self.parent = parent
            self.availableInstances = availableInstances
        }
    }

    public init(
        name: String, description: String, device: String, deviceAPI: String, videoMemory: Int, resolution: String?,
        heads: Int, weight: Int, frameRate: Int, parents: [Availability]
    ) {
        self.name = name
        self.description = description
        self.device = device
        self.deviceAPI = deviceAPI
        self.videoMemory = videoMemory
        self.resolution = resolution
        self.heads = heads
        self.weight = weight
        self.frameRate = frameRate
        self.parents = parents
    }
}

/// The answer of `GET /v1/types`.
public struct TypeList: Codable, Equatable, Sendable {
    public var types: [SupportedType]

    public init(types: [SupportedType]) {
        self.types = types
    }
}

/// A parent as the daemon shows it.
public struct ParentStatus: Codable, Equatable, Sendable {
    public var name: String
    public var description: String
    /// What all its vGPUs may have together, and what no running one has, in bytes.
    public var videoMemory, videoMemoryLeft: Int
    /// How many vGPUs it backs now.
    public var active: Int

    public init(name: String, description: String, videoMemory: Int, videoMemoryLeft: Int, active: Int) {
        self.name = name
        self.description = description
        self.videoMemory = videoMemory
        self.videoMemoryLeft = videoMemoryLeft
        self.active = active
    }
}

/// The answer of `GET /v1/parents`.
public struct ParentList: Codable, Equatable, Sendable {
    public var parents: [ParentStatus]

    public init(parents: [ParentStatus]) {
        self.parents = parents
    }
}
