/// How much of what it stands for a device may use now. What is nil isn't limited, or is something that the device
/// doesn't have.
public struct Quota: Codable, Equatable, Sendable {
    /// In bytes.
    public var videoMemory: Int?
    /// How many pictures a second consumers may read from each head, and how many it shows where the guest can be told
    /// to wait; 0: as many as they like.
    public var frameRate: Int?

    /// The frame rates that any device can have.
    public static let frameRates = 0...240

    public init(videoMemory: Int? = nil, frameRate: Int? = nil) {
        self.videoMemory = videoMemory
        self.frameRate = frameRate
    }

    /// Refuses a frame rate that no device can have.
    public static func check(frameRate: Int) throws(QuotaError) {
        guard frameRates.contains(frameRate) else {
            throw QuotaError(
                "The frame rate can't be \(frameRate): it must be from \(frameRates.lowerBound), for no limit, to "
                    + "\(frameRates.upperBound).")
        }
    }

    private enum CodingKeys: String, CodingKey {
        case videoMemory = "vram"
        case frameRate
    }
}

/// A device that can be told how much it may use.
public protocol LimitedDevice: AnyObject {
    /// What limits the device now.
    var quota: Quota { get }
    /// How much memory its video memory takes now, in bytes; nil when it has none, or nobody can tell.
    var videoMemoryUsed: Int? { get }

    /// Limits the device in another way from now on. What is nil in `changes` stays as it is.
    ///
    /// - Throws: ``QuotaError`` when it can't be; nothing has changed then.
    func apply(_ changes: Quota) throws(QuotaError)
}

/// A quota that a device can't have. The description is a sentence for the user, with the numbers.
public struct QuotaError: Error, CustomStringConvertible, Equatable {
    public let description: String

    public init(_ description: String) {
        self.description = description
    }
}
