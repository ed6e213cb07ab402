import Linux
import Mediation

/// A device process that is watched (``ProcessWatch``), from its start or its adoption to its end.
final class WatchedProcess: Sendable {
    let identity: ProcessIdentity
    /// Since when.
    let since = ContinuousClock.now
    let handle: ProcessHandle
    private let lease: Users.Lease?
    private let end = Bell()
    private let status = Locked<ProcessOutcome?>(nil)

    /// - Parameter lease: of the user whom it has alone, until it is gone.
    init(_ identity: ProcessIdentity, _ handle: ProcessHandle, _ lease: Users.Lease?) {
        self.identity = identity
        self.handle = handle
        self.lease = lease
    }

    /// Whether it has ended, and its status is taken.
    var hasEnded: Bool { end.last > 0 }

    /// How it has ended; nil: it hasn't yet.
    var outcome: ProcessOutcome? { status.withLock { $0 } }

    /// Waits for its end.
    ///
    /// - Returns: whether it came.
    func ends(within patience: Duration) async -> Bool {
        await end.next(after: 0, until: .now + patience)
        return hasEnded
    }

    /// Takes note of its end, for whoever waits for it.
    func noteEnd(_ outcome: ProcessOutcome) {
        status.withLock { $0 = outcome }
        lease?.giveBack()
        end.ring(1)
    }

    /// Sends it a signal. One that has ended needs none.
    ///
    /// - Throws: `.notPermitted` for another user's.
    func send(_ signal: Int32) throws(Errno) {
        do throws(Errno) { try handle.send(signal) } catch {
            guard error == .noSuchProcess else { throw error }
        }
    }
}
