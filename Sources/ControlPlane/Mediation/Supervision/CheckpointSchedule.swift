/// When a vGPU's state is to be saved: no more often than once in an interval, however often there is a reason to.
struct CheckpointSchedule {
    private var last: ContinuousClock.Instant?
    private var isPending = false
    private var hasFailed = false

    /// Asks for one more.
    ///
    /// - Returns: how long to wait for it; nil when one is to come already.
    mutating func request(every interval: Duration, at now: ContinuousClock.Instant = .now) -> Duration? {
        guard !isPending else { return nil }
        isPending = true
        return last.map { max(.zero, interval - ($0.duration(to: now))) } ?? .zero
    }

    /// It is made now: what happens from here on is a reason for the next one.
    mutating func begin(at now: ContinuousClock.Instant = .now) {
        isPending = false
        last = now
    }

    /// It is done, or has failed.
    ///
    /// - Returns: whether that is to be said: the first failure is, after which only a success makes another one news.
    mutating func end(failed: Bool) -> Bool {
        defer { hasFailed = failed }
        return failed && !hasFailed
    }
}
