/// The first record of a recording: what is needed to make its device anew.
public struct RecordingDescription: Codable, Equatable, Sendable {
    /// The one that this program writes and reads.
    public static let format = 1

    public var format = Self.format
    /// The device's type, as in `mediated run TYPE`.
    public var type: String
    public var options: [String: String]
    /// Of the program that has recorded.
    public var version: String
    /// What `CLOCK_MONOTONIC` is less than the time of records, in nanoseconds.
    public var clock: UInt64

    public init(type: String, options: [String: String], version: String, clock: UInt64) {
        (self.type, self.options, self.version, self.clock) = (type, options, version, clock)
    }
}
