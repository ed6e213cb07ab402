import Control
import Linux

/// Asks one device process for what it tells, again and again, and waits for it in a loop that has others to look
/// after. All of it belongs to the loop's thread.
///
/// A process of no good will gets nowhere: it is asked no more often than every ``ControlServer/eventPause``, and each
/// time the loop takes of it what is there, once. To read an answer is for others (`hand`), and the process is neither
/// asked nor listened to meanwhile.
final class EventFollower {
    private let path: String
    private let loop: EventLoop
    /// Has a closure called later, on the loop's thread.
    private let later: (_ pause: Duration, @escaping () -> Void) -> Void
    /// Takes an answer; ``answered(_:)`` must follow.
    private let hand: ([UInt8]) -> Void
    private var connection: EventConnection?
    private var token: EventLoop.Token?
    private var last = 0
    private var isOver = false

    /// Between a connection that was dropped and the next one.
    private static let pause = Duration.seconds(1)

    /// - Parameter path: the process's control socket.
    init(
        control path: String, in loop: EventLoop, later: @escaping (Duration, @escaping () -> Void) -> Void,
        hand: @escaping ([UInt8]) -> Void
    ) {
        self.path = path
        self.loop = loop
        self.later = later
        self.hand = hand
    }

    deinit { stop() }

    /// Asks for what comes next, over the connection that there is or a new one.
    func ask() {
        guard !isOver else { return }
        do throws(Errno) {
            let connection = try connected()
            attempt { () throws(EventConnection.Ended) in
                try connection.ask(after: last)
                try goOn(connection)
            }
        } catch {
            switch error {
            // There is nobody to follow any more.
            case .noSuchFileOrDirectory, .connectionRefused: stop()
            // A process that can't take anybody just now is there all the same.
            default: askLater(after: Self.pause)
            }
        }
    }

    private func connected() throws(Errno) -> EventConnection {
        if let connection { return connection }
        let new = try EventConnection(connectingTo: path)
        connection = new
        return new
    }

    private func askLater(after pause: Duration) {
        later(pause) { [weak self] in self?.ask() }
    }

    /// - Parameter last: the number behind which to ask next; nil: the answer was none.
    func answered(_ last: Int?) {
        // Numbers only grow, in a process of good will.
        guard !isOver, let last, last > self.last else { return stop() }
        self.last = last
        askLater(after: ControlServer.eventPause)
    }

    /// What comes from now on isn't told.
    func stop() {
        isOver = true
        drop()
    }

    private func drop() {
        unwatch()
        connection = nil
    }

    private func unwatch() {
        if let token { loop.unwatch(token) }
        token = nil
    }

    // MARK: The connection

    private func attempt(_ body: () throws(EventConnection.Ended) -> Void) {
        do throws(EventConnection.Ended) { try body() } catch {
            switch error {
            case .closed:
                // Of too many who wait the process drops the one that has waited longest. Who comes again behind the
                // same number misses nothing.
                drop()
                askLater(after: Self.pause)
            case .failed: stop()
            }
        }
    }

    /// Sends what there is room for, then receives what is there, once.
    private func goOn(_ connection: EventConnection) throws(EventConnection.Ended) {
        if connection.isSending {
            try connection.send()
        } else if let answer = try connection.receive() {
            // Nothing more is taken of it before this is read, not even that it hangs up.
            unwatch()
            return hand(answer)
        }
        watch(connection)
    }

    private func watch(_ connection: EventConnection) {
        let events: EventLoop.Events = connection.isSending ? .writable : .readable
        do throws(Errno) {
            if let token { return try loop.change(token, to: events) }
            token = try loop.watch("control: events", connection.descriptor, for: events) { [unowned self] _ in
                attempt { () throws(EventConnection.Ended) in try goOn(connection) }
            }
        } catch {
            // Out of memory, or of what may be watched: it is asked the same again when there is some.
            drop()
            askLater(after: Self.pause)
        }
    }
}
