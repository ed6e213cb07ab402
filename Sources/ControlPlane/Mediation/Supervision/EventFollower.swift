import Control
import Dispatch
import Linux

/// Waits on a thread of its own for what a device process tells.
final class EventFollower: Sendable {
    private let isStopped = Locked(false)

    /// - Parameters:
    ///   - path: the process's control socket.
    ///   - handler: takes one answer after the other; the process isn't asked for more before it is done.
    /// - Throws: `.resourceTemporarilyUnavailable` when no thread can be had.
    init(control path: String, handler: @escaping @Sendable (ControlEvents) async -> Void) throws(Errno) {
        _ = try Thread(name: "events", stackSize: 256 << 10) { [self] in
            var last = 0
            guard let client = try? ControlClient(connectingTo: path) else { return }
            // Until the process ends or says something that it shouldn't.
            while let events = try? client.events(after: last, milliseconds: -1), !isStopped.withLock({ $0 }) {
                let done = DispatchSemaphore(value: 0)
                Task {
                    await handler(events)
                    done.signal()
                }
                done.wait()
                // Numbers only grow; and a process of no good will doesn't pause by itself.
                guard events.last > last else { return }
                last = events.last
                _ = try? waitReadable([], milliseconds: Int32(ControlServer.eventPause / 1_000_000))
            }
        }
    }

    /// What comes from now on isn't told. The thread ends with the process.
    func stop() {
        isStopped.withLock { $0 = true }
    }
}
