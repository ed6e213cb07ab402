/// Until when something may take, however often it waits. `CLOCK_MONOTONIC`
public struct Deadline: Comparable, Sendable {
    /// On the monotonic clock; nil: never.
    private let end: Duration?

    /// - Parameter limit: from now on; nil: without end.
    public init(after limit: Duration?) {
        end = limit.map { Self.now + $0 }
    }

    public static var never: Deadline { Deadline(after: nil) }

    /// How much time there is still: zero when it is over, nil when there is no end.
    public var left: Duration? { end.map { max(.zero, $0 - Self.now) } }

    public var hasPassed: Bool { left == .zero }

    /// Whether the first is over sooner.
    public static func < (a: Deadline, b: Deadline) -> Bool {
        guard let end = a.end else { return false }
        return b.end.map { end < $0 } ?? true
    }

    private static var now: Duration { .nanoseconds(Int64(truncatingIfNeeded: SystemClock.nanoseconds)) }
}

extension Duration {
    /// For `poll(2)` and for sentences: rounded up, since a wait that ended a little too early would begin again at
    /// once; 0 for what is negative.
    public var inMilliseconds: Int32 {
        guard self > .zero else { return 0 }
        let (seconds, attoseconds) = components
        guard seconds < Int64(Int32.max) / 1000 else { return .max }
        return Int32(seconds) * 1000 + Int32((attoseconds + 999_999_999_999_999) / 1_000_000_000_000_000)
    }
}

extension Duration? {
    /// As `poll(2)` and `epoll_wait(2)` have it: negative when there is no end.
    var pollTimeout: Int32 { self?.inMilliseconds ?? -1 }
}
