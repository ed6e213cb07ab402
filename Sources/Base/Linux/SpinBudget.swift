import CLinux

/// How long to wait for something by asking for it again and again before sleeping, from experience: like KVM's halt
/// polling.
///
/// Waking a sleeper on another processor costs far more than a few microseconds of asking. But where nothing comes
/// soon, or the other side needs this very processor, asking only takes time away. So whoever asked in vain sleeps at
/// once the next time, and twice as often each time it is in vain again; what comes while one asks makes up for all
/// failures.
public struct SpinBudget: Sendable {
    /// How long one attempt lasts, in nanoseconds: more than a peer needs for its next message in dense traffic, far
    /// less than a time slice.
    public static let nanoseconds: UInt64 = 20_000
    /// Attempts in vain cost at most one part in so many waits.
    private static let longestPause = 1024
    /// How often the processor is told to relax before looking at the clock.
    private static let stride = 64

    /// How often the processor is told to relax before asking again.
    private let interval: Int
    /// How many waits go by before the next attempt.
    private var pause = 0
    /// What ``pause`` becomes after an attempt in vain.
    private var nextPause = 1

    /// - Parameter interval: how many times to relax, some tens of nanoseconds each, between two questions: 1 where
    ///   asking is a look at memory; more where it is a system call, which would keep a lock from the one who is to
    ///   answer.
    public init(interval: Int = 1) {
        self.interval = interval
    }

    /// For asking by system calls.
    public static let systemCallInterval = 32

    /// Asks until the answer is yes or the attempt has lasted long enough, if an attempt is due at all.
    ///
    /// - Returns: whether the answer was yes.
    @inlinable
    public mutating func wait<Failure: Error>(until isThere: () throws(Failure) -> Bool) throws(Failure) -> Bool {
        isDue() ? try attempt(until: isThere) : false
    }

    /// Asks, as is due.
    @inlinable
    mutating func attempt<Failure: Error>(until isThere: () throws(Failure) -> Bool) throws(Failure) -> Bool {
        // What is there already says nothing about how soon things come while one asks.
        if try isThere() { return true }
        let end = SystemClock.nanoseconds &+ Self.nanoseconds
        repeat {
            if try ask(isThere) {
                succeeded()
                return true
            }
        } while SystemClock.nanoseconds < end
        failed()
        return false
    }

    @usableFromInline
    func ask<Failure: Error>(_ isThere: () throws(Failure) -> Bool) throws(Failure) -> Bool {
        for _ in 0..<max(1, Self.stride / interval) {
            for _ in 0..<interval { clinux_relax() }
            if try isThere() { return true }
        }
        return false
    }

    @usableFromInline
    mutating func isDue() -> Bool {
        guard pause > 0 else { return true }
        pause -= 1
        return false
    }

    @usableFromInline
    mutating func succeeded() {
        nextPause = 1
    }

    @usableFromInline
    mutating func failed() {
        pause = nextPause
        nextPause = min(2 * nextPause, Self.longestPause)
    }
}
