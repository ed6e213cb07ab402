/// Until when something may take, however often it waits. `CLOCK_MONOTONIC`
public struct Deadline: Comparable, Sendable {
    /// In nanoseconds on the monotonic clock; nil: never. A plain number: servers look at it for each message.
    private let end: UInt64?

    /// - Parameter limit: from now on; nil: without end.
    public init(after limit: Duration?) {
        end = limit.map { SystemClock.nanoseconds + $0.nanoseconds }
    }

    public static var never: Deadline { Deadline(after: nil) }

    /// How much time there is still: zero when it is over, nil when there is no end.
    public var left: Duration? {
        end.map { end in
            let now = SystemClock.nanoseconds
            return now < end ? .nanoseconds(Int64(end - now)) : .zero
        }
    }

    public var hasPassed: Bool { end.map { $0 <= SystemClock.nanoseconds } ?? false }

    /// Whether the first is over sooner.
    public static func < (a: Deadline, b: Deadline) -> Bool {
        guard let end = a.end else { return false }
        return b.end.map { end < $0 } ?? true
    }
}

extension Duration {
    /// Rounded down; 0 for what is negative, and at most a hundred years, which is as good as for ever.
    fileprivate var nanoseconds: UInt64 {
        let (seconds, attoseconds) = components
        guard seconds >= 0, attoseconds >= 0 else { return 0 }
        return UInt64(min(seconds, 100 * 365 * 86_400)) * 1_000_000_000 + UInt64(attoseconds / 1_000_000_000)
    }

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
