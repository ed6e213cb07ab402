import Tap

/// Where a device did something else than the recorded one.
public struct Divergence: Sendable {
    /// What was recorded; nil: nothing more.
    public var expected: Record?
    /// What the device did; nil: nothing.
    public var actual: Record?
    /// What was the same before, the last at the end.
    public var before: [Record]
    /// In words, where it isn't a passage: a sentence.
    public var reason: String?
}

extension Divergence: CustomStringConvertible {
    /// For logs: bytes aren't shown.
    public var description: String {
        func text(_ record: Record?) -> String {
            guard let record else { return "nothing" }
            let kind = record.kind.event.map { "\($0)" } ?? "\(record.kind.rawValue)"
            return
                "\(kind) \(record.region)+\(record.offset) \(record.count) bytes, value \(record.value) \(record.name)"
        }
        let number = expected?.number ?? 0
        let difference = "\(number): \(text(expected)) was recorded, \(text(actual)) came. \(reason ?? "")"
        return difference + " Before it: " + before.map(text).joined(separator: "; ")
    }
}

/// What a replay has come to.
public struct ReplayOutcome: Sendable {
    /// How many passages were lived again.
    public var passages: UInt64 = 0
    /// How many times some were lost, so that it went on from a fresh state.
    public var gaps = 0
    /// How many pictures were the same.
    public var pictures = 0
    /// Whether the recording has an end.
    public var isComplete = false
    /// The first one.
    public var divergence: Divergence?
    /// A number that is the same for the same events, to the last byte.
    public var fingerprint: UInt64 = 0xcbf2_9ce4_8422_2325
}
