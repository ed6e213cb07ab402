import JSON
import Linux

/// The control socket of a device process: it answers requests on the device's thread, between the messages of the
/// device's client, and no peer can make that thread wait.
///
/// What a peer can take is bounded: a request is one line of at most ``lineLimit`` bytes; the next one is looked
/// at when the reply to the last has gone; each turn of the loop answers one request of a connection; and of
/// more than ``connectionLimit`` connections the one that has been silent the longest is dropped. Those that wait for
/// events don't count among these, but have the same limit for themselves, and are told at most every ``eventPause``.
/// Those that watch what passes have it for themselves, too: the next one is refused.
public final class ControlServer {
    /// The longest request, with its end of line, in bytes.
    public static let lineLimit = 4096
    /// The most connections at a time; the most of those that wait for events; and the most of those that watch.
    public static let connectionLimit = 8

    /// For how long no events are told after some were: whoever makes many, as by connecting and leaving
    /// all the time, keeps nobody busy who waits for those of many devices.
    public static let eventPause = Duration.milliseconds(100)

    private let listener: UnixListener
    private let loop: EventLoop
    private unowned let delegate: any ControlDelegate
    private let events: EventLog
    private let retry: TimerFD
    private let pause: TimerFD
    private var isPausing = false
    private let tracing = Tracing()
    private var watches: [EventLoop.Token] = []
    /// In the order of their last request, the latest at the end.
    private var connections: [ControlConnection] = []
    /// What is carried out in pieces, one request after the other: a piece of the first in each turn of the loop.
    private var work: [Work] = []
    private let turn: EventFD

    private struct Work {
        let connection: ControlConnection
        let next: () throws -> ControlReply?
    }

    /// - Parameters:
    ///   - listener: whoever may connect to it may do everything.
    ///   - loop: its thread is the one that makes this call.
    ///   - delegate: outlives the server.
    public init(_ listener: UnixListener, loop: EventLoop, delegate: any ControlDelegate) throws(Errno) {
        self.listener = listener
        retry = try TimerFD()
        pause = try TimerFD()
        turn = try EventFD()
        self.loop = loop
        self.delegate = delegate
        events = delegate.events
        let accepting = try loop.watch("control: connections", listener.descriptor, for: .readable) {
            [unowned self] _ in accept()
        }
        let retrying = try loop.watch("control: retry", retry.descriptor, for: .readable) { [unowned self] _ in resume()
        }
        let pausing = try loop.watch("control: pause", pause.descriptor, for: .readable) { [unowned self] _ in
            pause.consume()
            isPausing = false
            answerHeld()
        }
        let working = try loop.watch("control: work", turn.descriptor, for: .readable) { [unowned self] _ in workOn() }
        watches = [accepting, retrying, pausing, working]
        events.onEvent = { [unowned self] in answerHeld() }
        tracing.onRecordingEnd = { [unowned self] isOrderly in recordingEnded(isOrderly) }
    }

    deinit {
        events.onEvent = {}
        for token in watches { loop.unwatch(token) }
        for connection in connections { drop(connection) }
    }

    // MARK: Connections

    private func accept() {
        do throws(Errno) {
            // Peers have sent more than could be closed.
            guard loop.controlLane.hasRoom else { throw .tooManyReferences }
            guard let socket = try listener.accept(closedIn: loop.controlLane) else { return }
            makeRoom(for: .asking)
            try add(socket)
        } catch {
            // No descriptors, no memory, or too much to close. The listener stays readable: look away for a second.
            try? loop.change(watches[0], to: [])
            retry.set(.seconds(1))
        }
    }

    /// Drops the connection that was silent the longest, when there are as many of a kind as there may be.
    private func makeRoom(for kind: ControlConnection.Kind) {
        let others = connections.filter { $0.kind == kind }
        if others.count == Self.connectionLimit { drop(others[0]) }
    }

    private func resume() {
        retry.consume()
        try? loop.change(watches[0], to: .readable)
    }

    private func add(_ socket: consuming UnixSocket) throws(Errno) {
        let connection = try ControlConnection(socket)
        connection.token = try loop.watch("control: request", connection.socket.descriptor, for: .readable) {
            [unowned self, unowned connection] _ in serve(connection)
        }
        connections.append(connection)
    }

    private func drop(_ connection: ControlConnection) {
        if let token = connection.token { loop.unwatch(token) }
        connections.removeAll { $0 === connection }
        work.removeAll { $0.connection === connection }
        if connection.kind == .tracing, !connections.contains(where: { $0.kind == .tracing }) { tracing.end(delegate) }
        if connection.kind == .recording { tracing.endRecording(delegate) }
    }

    /// The connection that recorded may ask again. One whose recording was taken away learns of it by the end.
    private func recordingEnded(_ isOrderly: Bool) {
        guard let connection = connections.first(where: { $0.kind == .recording }) else { return }
        if isOrderly { makeRoom(for: .asking) }
        connection.kind = .asking
        if !isOrderly { drop(connection) }
    }

    // MARK: Requests

    private func serve(_ connection: ControlConnection) {
        do throws(ControlConnection.Ended) {
            // While an answer is held back nothing but a hang-up is watched for.
            if connection.held != nil { throw ControlConnection.Ended() }
            if connection.isSending {
                try connection.send()
            } else if let request = try connection.receive() {
                connections.removeAll { $0 === connection }
                connections.append(connection)
                switch answer(to: request, of: connection) {
                case .reply(let reply):
                    if case .success(.events) = request { beginPause() }
                    try connection.send(reply)
                case .later:
                    if connection.kind == .asking {
                        makeRoom(for: .listening)
                        connection.kind = .listening
                    }
                    connection.held = try? request.get()
                case .inPieces(let next):
                    connection.held = try? request.get()
                    work.append(Work(connection: connection, next: next))
                    turn.signal()
                }
                if case .success(.stop) = request { delegate.stop() }
            }
            try watch(connection)
        } catch {
            drop(connection)
        }
    }

    /// There may be an answer now to those that wait for events.
    private func answerHeld() {
        let replies = connections.compactMap { connection -> (ControlConnection, ControlReply)? in
            guard let held = connection.held, case .events = held,
                case .reply(let reply) = answer(to: .success(held), of: connection)
            else { return nil }
            return (connection, reply)
        }
        if !replies.isEmpty { beginPause() }
        for (connection, reply) in replies { answerHeld(reply, of: connection) }
    }

    private func answerHeld(_ reply: ControlReply, of connection: ControlConnection) {
        connection.held = nil
        do throws(ControlConnection.Ended) {
            try connection.send(reply)
            try watch(connection)
        } catch {
            drop(connection)
        }
    }

    /// Carries out one piece.
    private func workOn() {
        turn.consume()
        guard let first = work.first else { return }
        var reply: ControlReply?
        do { reply = try first.next() } catch { reply = ControlReply(failure: error) }
        if let reply {
            work.removeFirst()
            answerHeld(reply, of: first.connection)
        }
        if !work.isEmpty { turn.signal() }
    }

    private func beginPause() {
        isPausing = true
        pause.set(Self.eventPause)
    }

    private func answer(
        to request: Result<ControlRequest, ControlError>, of connection: ControlConnection
    ) -> ControlAnswer {
        if isPausing, case .success(.events) = request { return .later }
        do {
            switch request {
            case .success(.trace): return try letWatch(connection)
            case .success(.record):
                guard connection.kind == .asking else {
                    throw ControlError(.failed, "Whoever records needs a connection of their own for it.")
                }
                let answer = try delegate.answer(request.get(), tracing)
                connection.kind = .recording
                return answer
            case .success(.endRecording) where connection.kind != .recording:
                throw ControlError(.failed, "This connection has no recording.")
            default: return try delegate.answer(request.get(), tracing)
            }
        } catch {
            return .reply(ControlReply(failure: error))
        }
    }

    /// Whoever watches is never sent away for another: it would take that for the end of the device.
    private func letWatch(_ connection: ControlConnection) throws -> ControlAnswer {
        guard connection.kind == .asking || connection.kind == .tracing else {
            throw ControlError(.failed, "Whoever watches needs a connection of their own for it.")
        }
        let others = connections.count { $0.kind == .tracing && $0 !== connection }
        guard others < Self.connectionLimit else {
            throw ControlError(
                .failed, "\(others) others watch the device already. Try again when one of them has left.")
        }
        let answer = try delegate.answer(.trace, tracing)
        connection.kind = .tracing
        return answer
    }

    /// A connection that still has a request in its buffer has its turn when it can take the reply.
    private func watch(_ connection: ControlConnection) throws(ControlConnection.Ended) {
        guard let token = connection.token else { return }
        let events: EventLoop.Events =
            connection.held != nil ? [] : connection.isSending || connection.hasRequest ? .writable : .readable
        do throws(Errno) { try loop.change(token, to: events) } catch { throw ControlConnection.Ended() }
    }
}
