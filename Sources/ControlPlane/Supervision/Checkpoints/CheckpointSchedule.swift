/// When a vGPU's state is to be saved: no more often than once in an interval, however often there is a reason to, and
/// ever more seldom while it fails.
struct CheckpointSchedule {
    private var last: ContinuousClock.Instant?
    private var isPending = false
    /// How often it has failed since it last succeeded.
    private var failures = 0
    /// The pause after a failure is doubled so often at most.
    private static let mostDoublings = 5

    /// Asks for one more.
    ///
    /// - Returns: how long to wait for it; nil when one is to come already.
    mutating func request(every interval: Duration, at now: ContinuousClock.Instant = .now) -> Duration? {
        guard !isPending else { return nil }
        isPending = true
        let pause = interval * (1 << min(failures, Self.mostDoublings))
        return last.map { max(.zero, pause - ($0.duration(to: now))) } ?? .zero
    }

    /// It is made now: what happens from here on is a reason for the next one.
    mutating func begin(at now: ContinuousClock.Instant = .now) {
        isPending = false
        last = now
    }

    /// It is done, or has failed.
    ///
    /// - Returns: whether that is to be said: the first failure is, after which only a success makes another one news.
    mutating func end(failed: Bool, at now: ContinuousClock.Instant = .now) -> Bool {
        guard failed else {
            failures = 0
            return false
        }
        failures += 1
        // One that was given up has kept the disk busy until now.
        last = now
        return failures == 1
    }
}
