import Control
import Dispatch
import Linux

/// Waits on a thread of its own for what a device process tells.
final class EventFollower: Sendable {
    private let isStopped = Locked(false)

    /// Between a connection that was dropped and the next one.
    private static let pause = Duration.seconds(1)

    /// - Parameters:
    ///   - path: the process's control socket.
    ///   - handler: takes one answer after the other; the process isn't asked for more before it is done.
    /// - Throws: `.resourceTemporarilyUnavailable` when no thread can be had.
    init(control path: String, handler: @escaping @Sendable (ControlEvents) async -> Void) throws(Errno) {
        _ = try Thread(name: "events", stackSize: 256 << 10) { [self] in
            var last = 0
            // Of too many who wait the process drops the one that has waited longest. Who comes again behind the same number misses
            // nothing.
            while follow(path, behind: &last, handler) {
                _ = try? waitReadable([], within: Self.pause)
            }
        }
    }

    /// Follows by one connection, until it ends.
    ///
    /// - Returns: false when there is nobody to follow any more: the process has ended, or says something that it shouldn't.
    private func follow(
        _ path: String, behind last: inout Int, _ handler: @escaping @Sendable (ControlEvents) async -> Void
    ) -> Bool {
        guard !isStopped.withLock({ $0 }) else { return false }
        let client: ControlClient
        do throws(ControlClientError) {
            client = try ControlClient(connectingTo: path)
        } catch {
            // A process that can't take anybody just now is there all the same.
            switch error {
            case .cannotConnect(_, .noSuchFileOrDirectory), .cannotConnect(_, .connectionRefused): return false
            default: return true
            }
        }
        while true {
            let events: ControlEvents
            do throws(ControlClientError) {
                events = try client.events(after: last, within: nil)
            } catch {
                return error == .closed
            }
            guard !isStopped.withLock({ $0 }) else { return false }
            let done = DispatchSemaphore(value: 0)
            Task {
                await handler(events)
                done.signal()
            }
            done.wait()
            // Numbers only grow; and a process of no good will doesn't pause by itself.
            guard events.last > last else { return false }
            last = events.last
            _ = try? waitReadable([], within: ControlServer.eventPause)
        }
    }

    /// What comes from now on isn't told. The thread ends with the process.
    func stop() {
        isStopped.withLock { $0 = true }
    }
}
