import Glibc
import Linux

/// A renderer in a process of its own, as the device process sees it: commands go in, answers come back, and it may end or
/// hang at any moment without harm to anybody.
///
/// The first process that is started, the *launcher*, starts renderers as copies of itself, so that a device process which
/// has given up the right to start programs can have a new one. All calls belong to the thread of `loop`, and so do all
/// answers.
public final class RendererProcess {
    /// What is called with the answer to a command; nil: the renderer has ended without one.
    public typealias Completion = (RendererReply?) -> Void

    private struct Pending {
        let sequence: UInt64
        let completion: Completion
    }

    private final class Session {
        let socket: UnixSocket
        var commands: RingProducer
        var replies: RingConsumer
        var watches: [EventLoop.Token] = []

        init(_ socket: consuming UnixSocket, _ commands: consuming RingProducer, _ replies: consuming RingConsumer) {
            self.socket = socket
            self.commands = commands
            self.replies = replies
        }
    }

    private let loop: EventLoop
    private let launcher: UnixSocket
    private var launcherWatch: EventLoop.Token?
    /// How long a renderer may go without an answer while one is due, in nanoseconds.
    private let patience: UInt64
    private let watchdog: TimerFD
    private var watchdogWatch: EventLoop.Token?
    private var session: Session?
    /// Commands that have no answer yet, in their order.
    private var pending: [Pending] = []
    /// Commands for which the ring had no room.
    private var backlog: [(sequence: UInt64, command: RendererCommand)] = []
    private var nextSequence: UInt64 = 1
    private var nextWindow: UInt32 = 1
    private var answered: UInt64 = 0
    private var answeredBefore: UInt64 = 0

    /// Called when a renderer has ended, behind the completions of what it left undone, with a sentence for the log.
    public var onEnd: (String) -> Void = { _ in }

    /// Whether there is a renderer.
    public var isRunning: Bool { session != nil }
    /// Commands that have no answer yet.
    public var pendingCount: Int { pending.count }

    /// Starts the launcher; no renderer yet.
    ///
    /// - Parameters:
    ///   - program: the path of mediated-renderer.
    ///   - renderNode: such as /dev/dri/renderD128; nil: a software renderer.
    ///   - milliseconds: how long a renderer may go without an answer while one is due, before it is taken for hung.
    public init(program: String, renderNode: String?, loop: EventLoop, milliseconds: UInt64 = 10_000) throws(Errno) {
        self.loop = loop
        patience = milliseconds * 1_000_000
        watchdog = try TimerFD()
        let pair = try UnixSocket.pair(keepsPackets: true)
        _ = try ChildProcess.spawn(program, renderNode.map { [$0] } ?? [], passing: [pair.second.descriptor.raw])
        launcher = pair.first
        launcherWatch = try loop.watch(launcher.descriptor, for: .readable) { [unowned self] _ in hearLauncher() }
        watchdogWatch = try loop.watch(watchdog.descriptor, for: .readable) { [unowned self] _ in checkProgress() }
    }

    deinit {
        if let launcherWatch { loop.unwatch(launcherWatch) }
        if let watchdogWatch { loop.unwatch(watchdogWatch) }
        closeSession()
    }

    // MARK: Life

    /// Has the launcher start a renderer, unless there is one.
    ///
    /// - Throws: the error that keeps it from starting, such as `.brokenPipe` when the launcher has gone.
    public func start() throws(Errno) {
        guard session == nil else { return }
        let pair = try UnixSocket.pair(keepsPackets: true)
        let commands = try MessageRing(capacity: RendererLink.commandCapacity)
        let replies = try MessageRing(capacity: RendererLink.replyCapacity)
        let commandDoorbell = try EventFD()
        let replyDoorbell = try EventFD()
        try RendererLink.send(RendererLink.start, descriptors: [pair.second.descriptor.raw], over: launcher)
        try RendererLink.send(
            RendererLink.hello,
            descriptors: [
                commands.file.descriptor.raw, replies.file.descriptor.raw, commandDoorbell.descriptor.raw,
                replyDoorbell.descriptor.raw,
            ], over: pair.first)
        let session = Session(
            pair.first, RingProducer(commands, doorbell: commandDoorbell),
            RingConsumer(replies, doorbell: replyDoorbell))
        self.session = session
        do throws(Errno) {
            session.watches.append(
                try loop.watch(replyDoorbell.descriptor, for: .readable) { [unowned self] _ in takeReplies() })
            session.watches.append(
                try loop.watch(session.socket.descriptor, for: []) { [unowned self] _ in end("The renderer has ended.")
                })
        } catch {
            closeSession()
            throw error
        }
        _ = session.replies.prepareToSleep()
    }

    /// Ends the renderer at once: what it has not answered, it won't.
    public func stop() {
        end(nil)
    }

    private func closeSession() {
        guard let session else { return }
        self.session = nil
        for watch in session.watches { loop.unwatch(watch) }
        // A renderer that hangs doesn't see that its socket is closed.
        try? RendererLink.send(RendererLink.kill, over: launcher)
    }

    private func end(_ reason: String?) {
        guard session != nil else { return }
        closeSession()
        watchdog.set(nanoseconds: 0)
        backlog = []
        let lost = pending
        pending = []
        for command in lost { command.completion(nil) }
        if let reason { onEnd(reason) }
    }

    private func hearLauncher() {
        var descriptors = ReceivedDescriptors()
        do throws(Errno) {
            _ = try RendererLink.receive(from: launcher, &descriptors, blocking: false)
        } catch {
            if let launcherWatch { loop.unwatch(launcherWatch) }
            launcherWatch = nil
            end("The renderer's launcher has ended.")
        }
    }

    private func checkProgress() {
        watchdog.consume()
        guard !pending.isEmpty else { return }
        guard answered != answeredBefore else {
            return end("The renderer has not answered for \(patience / 1_000_000) ms, and was ended.")
        }
        keepWatch()
    }

    private func keepWatch() {
        answeredBefore = answered
        watchdog.set(nanoseconds: patience)
    }

    // MARK: Commands

    /// Has the renderer do something, behind all that it was asked before.
    ///
    /// - Parameter completion: called later, with nil when there is no renderer.
    public func send(_ command: RendererCommand, completion: @escaping Completion = { _ in }) {
        guard session != nil else { return completion(nil) }
        let sequence = nextSequence
        nextSequence += 1
        if pending.isEmpty { keepWatch() }
        pending.append(Pending(sequence: sequence, completion: completion))
        backlog.append((sequence, command))
        flush()
    }

    /// Shares memory with the renderer.
    ///
    /// - Parameters:
    ///   - file: stays open until this returns.
    ///   - offset: a multiple of the page size.
    /// - Returns: what ``RendererCommand/MemoryPiece``s call it.
    public func share(_ file: borrowing Descriptor, offset: UInt64, size: UInt64) throws(Errno) -> UInt32 {
        guard let session else { throw .brokenPipe }
        try RendererLink.send(RendererLink.memory, descriptors: [file.raw], over: session.socket)
        let window = nextWindow
        nextWindow &+= 1
        send(.mapMemory(window: window, offset: offset, size: size))
        return window
    }

    private func flush() {
        while let (sequence, command) = backlog.first {
            let (kind, payload) = command.message
            guard session?.commands.put(kind: kind, sequence: sequence, payload) == true else { return }
            backlog.removeFirst()
        }
    }

    private func takeReplies() {
        session?.replies.wakeUp()
        repeat {
            do throws(RingConsumer.Violation) {
                while let message = try session?.replies.next() { try take(message) }
            } catch {
                return end("The renderer has sent nonsense, and was ended: \(error).")
            }
        } while session?.replies.prepareToSleep() == false
        flush()
    }

    private func take(_ message: RingConsumer.Message) throws(RingConsumer.Violation) {
        // Fences are done later than what comes behind them.
        guard let index = pending.firstIndex(where: { $0.sequence == message.sequence }),
            let reply = RendererReply(kind: message.kind, payload: message.payload)
        else {
            throw RingConsumer.Violation(description: "an answer to command \(message.sequence), which waits for none")
        }
        let completion = pending.remove(at: index).completion
        answered += 1
        completion(reply)
    }
}
