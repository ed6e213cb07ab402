import Device

/// What a vGPU may use of its parent. All of it can change while it runs.
public struct Limits: Equatable, Codable, Sendable {
    /// In bytes; 0 for a device without video memory.
    public var videoMemory: Int
    /// Its share of the processor beside others', as in a cgroup's `cpu.weight`: 1 to 10000.
    public var weight: Int
    /// Pictures a second that a `virtio-gpu` shows, and that are read for consoles and screenshots; 0: any number.
    public var frameRate: Int
    /// How much memory the guest's Vulkan programs share with the host, in bytes; 0: there is no Vulkan. It isn't
    /// stored: it follows from the device's options.
    public var window = 0

    private enum CodingKeys: String, CodingKey { case videoMemory, weight, frameRate }

    public static let weights = 1...10_000
    /// What a cgroup has that nobody has changed.
    public static let standardWeight = 100

    public init(videoMemory: Int = 0, weight: Int = standardWeight, frameRate: Int = 0, window: Int = 0) {
        self.videoMemory = videoMemory
        self.weight = weight
        self.frameRate = frameRate
        self.window = window
    }

    /// The attributes that set limits; every other one is an option of the device.
    enum Name: String, CaseIterable {
        case videoMemory = "vram"
        case weight
        case frameRate = "frame-rate"
    }

    /// These limits, but for what attributes say.
    ///
    /// - Throws: ``MediationError`` for a value that is no such limit.
    public func changed(by attributes: [Attribute]) throws(MediationError) -> Limits {
        var limits = self
        for attribute in attributes {
            switch Name(rawValue: attribute.name) {
            case .videoMemory: limits.videoMemory = try attribute.number(in: 1...Int.max)
            case .weight: limits.weight = try attribute.number(in: Self.weights)
            case .frameRate: limits.frameRate = try attribute.number(in: Quota.frameRates)
            case nil: break
            }
        }
        return limits
    }
}

extension Attribute {
    /// Whether it is one of ``Limits``, and not an option of the device.
    public var isLimit: Bool { Limits.Name(rawValue: name) != nil }

    /// The value as a number; K, M and G multiply by powers of 1024.
    ///
    /// - Throws: ``MediationError`` for what is none, or out of the range.
    public func number(in range: ClosedRange<Int>) throws(MediationError) -> Int {
        let factors: [Character: Int] = ["K": 1 << 10, "M": 1 << 20, "G": 1 << 30]
        let factor = value.last.flatMap { factors[$0] } ?? 1
        let (size, overflow) = (Int(factor == 1 ? value[...] : value.dropLast()) ?? -1)
            .multipliedReportingOverflow(by: factor)
        guard !overflow, range.contains(size) else {
            let limit =
                range.upperBound == .max
                ? "of at least \(range.lowerBound), such as 16M" : "from \(range.lowerBound) to \(range.upperBound)"
            throw MediationError(.invalid, "'\(name)' is '\(value)' but must be a number \(limit).")
        }
        return size
    }
}
