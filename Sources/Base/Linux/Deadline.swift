/// Until when something may take, however often it waits. `CLOCK_MONOTONIC`
public struct Deadline: Comparable, Sendable {
    /// On the monotonic clock, in milliseconds; the greatest number: never.
    private let time: Int

    /// - Parameter milliseconds: from now on; negative: without end.
    public init(milliseconds: Int32) {
        time = milliseconds < 0 ? .max : Self.now + Int(milliseconds)
    }

    /// How long `poll(2)` may wait still, in milliseconds: 0 when the time is over, negative when there is no end.
    public var millisecondsLeft: Int32 {
        time == .max ? -1 : Int32(clamping: max(0, time - Self.now))
    }

    /// Whether the first is over sooner.
    public static func < (a: Deadline, b: Deadline) -> Bool { a.time < b.time }

    private static var now: Int { Int(SystemClock.nanoseconds / 1_000_000) }
}
