/// How long to wait before something that has failed is tried again: not at all the first time, then a second, and each
/// time twice as long, up to a minute. Whoever fails after a while of success begins at the start.
struct BackOff {
    private static let limit: UInt64 = 60_000_000_000

    private let clock: () -> UInt64
    private var delay: UInt64 = 0
    private var last: UInt64

    /// - Parameter clock: the time in nanoseconds, from any moment on.
    init(clock: @escaping () -> UInt64) {
        self.clock = clock
        last = clock()
    }

    /// Something has failed.
    ///
    /// - Returns: how long to wait, in nanoseconds; at least 1.
    mutating func next() -> UInt64 {
        let now = clock()
        if now &- last >= delay &+ Self.limit { delay = 0 }
        last = now
        defer { delay = min(Self.limit, delay == 0 ? 1_000_000_000 : delay * 2) }
        return max(1, delay)
    }
}
