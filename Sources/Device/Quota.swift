/// How much of what it stands for a device may use now. What is nil isn't limited, or is something that the device
/// doesn't have.
public struct Quota: Codable, Equatable, Sendable {
    /// In bytes.
    public var videoMemory: Int?
    /// How many pictures a second consumers may read from each head, and how many it shows where the guest can be told to wait;
    /// 0: as many as they like.
    public var frameRate: Int?

    public init(videoMemory: Int? = nil, frameRate: Int? = nil) {
        self.videoMemory = videoMemory
        self.frameRate = frameRate
    }

    /// Refuses all limits, for a type of device that has none of what they limit.
    public func requireNone(of type: String) throws(QuotaError) {
        if videoMemory != nil { throw QuotaError("A '\(type)' has no video memory.") }
        if frameRate != nil { throw QuotaError("A '\(type)' shows no pictures.") }
    }

    private enum CodingKeys: String, CodingKey {
        case videoMemory = "vram"
        case frameRate
    }
}

/// A quota that a device can't have. The description is a sentence for the user, with the numbers.
public struct QuotaError: Error, CustomStringConvertible, Equatable {
    public let description: String

    public init(_ description: String) {
        self.description = description
    }
}
