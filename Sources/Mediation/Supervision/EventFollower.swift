import Control
import Linux
import Synchronization

/// Waits on a thread of its own for what a device process tells.
final class EventFollower: Sendable {
    private let isStopped = Mutex(false)

    /// - Parameters:
    ///   - path: the process's control socket.
    ///   - number: the last event that is known already.
    ///   - handler: called on that thread.
    /// - Throws: `.resourceTemporarilyUnavailable` when no thread can be had.
    init(control path: String, after number: Int, handler: @escaping @Sendable (ControlEvents) -> Void) throws(Errno) {
        _ = try Thread(name: "events", stackSize: 256 << 10) { [self] in
            var last = number
            guard let client = try? ControlClient(connectingTo: path) else { return }
            // Until the process ends or says something that it shouldn't.
            while let events = try? client.events(after: last, milliseconds: -1), !isStopped.withLock({ $0 }) {
                handler(events)
                last = events.last
            }
        }
    }

    /// What comes from now on isn't told. The thread ends with the process.
    func stop() {
        isStopped.withLock { $0 = true }
    }
}
