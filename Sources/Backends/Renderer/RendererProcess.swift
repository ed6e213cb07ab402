import Glibc
import Linux
import SharedRing

/// A renderer in a process of its own, as the device process sees it: commands go in, answers come back, and it may end or
/// hang at any moment without harm to anybody.
///
/// The first process that is started, the *launcher*, starts renderers as copies of itself, so that a device process which
/// has given up the right to start programs can have a new one. All calls belong to the thread of `loop`, and so do all
/// answers.
public final class RendererProcess {
    /// What is called with the answer to a command; nil: the renderer has ended without one, and touches nothing that it was
    /// given any more.
    public typealias Completion = (RendererReply?) -> Void

    private struct Pending {
        let sequence: UInt64
        let completion: Completion
    }

    private final class Session {
        let socket: UnixSocket
        var commands: RingProducer
        var replies: RingConsumer
        /// Of its answers; of its end's hang-up where there is no launcher any more.
        var watch: EventLoop.Token?

        init(_ socket: consuming UnixSocket, _ commands: consuming RingProducer, _ replies: consuming RingConsumer) {
            self.socket = socket
            self.commands = commands
            self.replies = replies
        }
    }

    /// The launcher's process ID; the renderer is its child.
    public let launcherID: Int32
    private let loop: EventLoop
    private let launcher: UnixSocket
    private let log: RendererLog?
    private var launcherWatch: EventLoop.Token?
    /// How long a renderer may go without an answer while one is due, in nanoseconds.
    private let patience: UInt64
    private let watchdog: TimerFD
    private var watchdogWatch: EventLoop.Token?
    private var session: Session?
    /// The signal that ended the last renderer which ended by itself, as one that crashes; 0: none.
    public private(set) var crashSignal: Int32 = 0
    /// A renderer that was told to end and may not have done so yet, and why.
    private var leaving: (session: Session, reason: String?, wasCongested: Bool)?
    /// Commands that have no answer yet, in their order.
    private var pending: [Pending] = []
    /// Commands for which the ring had no room.
    private var backlog: [(sequence: UInt64, command: RendererCommand)] = []
    private var nextSequence: UInt64 = 1
    private var nextWindow: UInt32 = 1
    private var answered: UInt64 = 0
    private var answeredBefore: UInt64 = 0

    /// How many bytes of memory a renderer that is started from now on may take, besides what its driver has at the start. What needs
    /// more fails, or ends it.
    public var memoryLimit: UInt64

    /// Called when a renderer has ended, behind the completions of what it left undone, with a sentence for the log; nil: it was
    /// told to by ``stop(_:)`` without one.
    public var onEnd: (String?) -> Void = { _ in }
    /// Called when ``isCongested`` has become false.
    public var onRoom: () -> Void = {}

    /// Whether there is a renderer.
    public var isRunning: Bool { session != nil }
    /// Commands that have no answer yet.
    public var pendingCount: Int { pending.count }
    /// Whether commands wait because the ring is full: those who send many had better wait too.
    public var isCongested: Bool { !backlog.isEmpty }

    /// Starts the launcher; no renderer yet.
    ///
    /// - Parameters:
    ///   - program: the path of mediated-renderer.
    ///   - renderNode: such as /dev/dri/renderD128; nil: a software renderer.
    ///   - memoryLimit: ``memoryLimit``.
    ///   - milliseconds: how long a renderer may go without an answer while one is due, before it is taken for hung.
    public convenience init(
        program: String, renderNode: String?, loop: EventLoop, memoryLimit: UInt64, milliseconds: UInt64 = 10_000
    ) throws(Errno) {
        let pair = try UnixSocket.pair(keepsPackets: true, closedIn: loop.clientLane)
        let output = try PipeEnds()
        let id = try ChildProcess.spawn(
            program, renderNode.map { [$0] } ?? [], passing: [pair.second.descriptor.raw],
            standardError: output.writer.raw)
        let log = try RendererLog(output.reader, loop: loop)
        try self.init(
            launcher: pair.first, id: id, log: log, loop: loop, memoryLimit: memoryLimit, milliseconds: milliseconds)
    }

    /// - Parameters:
    ///   - launcher: this end of the socket that the launcher has.
    ///   - log: what launcher and renderers say, if they can.
    init(
        launcher: consuming UnixSocket, id: Int32, log: RendererLog? = nil, loop: EventLoop, memoryLimit: UInt64,
        milliseconds: UInt64
    ) throws(Errno) {
        self.memoryLimit = memoryLimit
        self.loop = loop
        self.log = log
        patience = milliseconds * 1_000_000
        watchdog = try TimerFD()
        launcherID = id
        self.launcher = launcher
        launcherWatch = try loop.watch("renderer: launcher", self.launcher.descriptor, for: .readable) {
            [unowned self] _ in hearLauncher()
        }
        watchdogWatch = try loop.watch("renderer: watchdog", watchdog.descriptor, for: .readable) { [unowned self] _ in
            checkProgress()
        }
    }

    deinit {
        if let launcherWatch { loop.unwatch(launcherWatch) }
        if let watchdogWatch { loop.unwatch(watchdogWatch) }
        if let watch = session?.watch { loop.unwatch(watch) }
        if let watch = leaving?.session.watch { loop.unwatch(watch) }
    }

    // MARK: Life

    /// Has the launcher start a renderer, unless there is one.
    ///
    /// - Throws: the error that keeps it from starting, such as `.brokenPipe` when the launcher has gone, or `.resourceBusy`
    ///   while the last one has not ended.
    public func start() throws(Errno) {
        guard session == nil else { return }
        guard leaving == nil else { throw .resourceBusy }
        let pair = try UnixSocket.pair(keepsPackets: true, closedIn: loop.clientLane)
        let commands = try MessageRing(capacity: RendererLink.commandCapacity)
        let replies = try MessageRing(capacity: RendererLink.replyCapacity)
        let commandDoorbell = try EventFD()
        let replyDoorbell = try EventFD()
        try RendererLink.send(
            RendererLink.hello,
            descriptors: [
                commands.memory.file.descriptor.raw, replies.memory.file.descriptor.raw, commandDoorbell.descriptor.raw,
                replyDoorbell.descriptor.raw,
            ], over: pair.first)
        // Last: once it is sent, the launcher owes word of an end.
        try RendererLink.send(
            RendererLink.start, number: memoryLimit, descriptors: [pair.second.descriptor.raw], over: launcher)
        let session = Session(
            pair.first, RingProducer(commands, doorbell: commandDoorbell),
            RingConsumer(replies, doorbell: replyDoorbell))
        self.session = session
        do throws(Errno) {
            session.watch = try loop.watch("renderer: replies", replyDoorbell.descriptor, for: .readable) {
                [unowned self] _ in
                takeReplies()
            }
        } catch {
            end("The renderer was ended, for its answers can't be waited for.")
            throw error
        }
        takeReplies()
    }

    /// Ends the renderer at once: what it has not answered, it won't.
    ///
    /// - Parameter reason: a sentence for ``onEnd``.
    public func stop(_ reason: String? = nil) {
        end(reason)
    }

    /// Waits until the renderer that was told to end has ended, whose completions are called then.
    ///
    /// - Returns: false when the time ran out.
    public func waitForEnd(milliseconds: Int32) -> Bool {
        let deadline = Deadline(milliseconds: milliseconds)
        while let leaving {
            let hasLauncher = launcherWatch != nil
            let source = hasLauncher ? launcher.descriptor.raw : leaving.session.socket.descriptor.raw
            let left = deadline.millisecondsLeft
            guard left != 0, let ready = try? waitReadable([source], milliseconds: left) else { return false }
            guard ready == [true] else { continue }
            if hasLauncher { hearLauncher() } else { finishEnd() }
        }
        return true
    }

    /// Waits until every command has its answer.
    ///
    /// - Returns: false when the time ran out.
    public func waitForAnswers(milliseconds: Int32) -> Bool {
        let deadline = Deadline(milliseconds: milliseconds)
        while !pending.isEmpty {
            guard let session else { return waitForEnd(milliseconds: deadline.millisecondsLeft) }
            let sources = [session.replies.doorbell.event.descriptor.raw, launcher.descriptor.raw]
            let left = deadline.millisecondsLeft
            guard left != 0, let ready = try? waitReadable(sources, milliseconds: left) else { return false }
            if ready[0] { takeReplies() }
            // It may have answered before it ended.
            if ready[1], !ready[0] { hearLauncher() }
        }
        return true
    }

    /// The renderer that was to end touches nothing any more.
    private func finishEnd() {
        guard let (session, reason, wasCongested) = leaving else { return }
        // What it said before it ended comes before what is said of its end.
        log?.drain()
        leaving = nil
        if let watch = session.watch { loop.unwatch(watch) }
        let lost = pending
        pending = []
        for command in lost { command.completion(nil) }
        onEnd(reason)
        if wasCongested { onRoom() }
    }

    private func end(_ reason: String?) {
        guard session != nil else { return }
        leave(reason)
        // One that hangs sees nothing.
        try? RendererLink.send(RendererLink.kill, over: launcher)
    }

    private func leave(_ reason: String?) {
        guard let session else { return }
        self.session = nil
        leaving = (session, reason, isCongested)
        watchdog.set(nanoseconds: 0)
        backlog = []
        if let watch = session.watch { loop.unwatch(watch) }
        session.watch = nil
    }

    private func hearLauncher() {
        var descriptors = ReceivedDescriptors()
        do throws(Errno) {
            guard let packet = try RendererLink.receive(from: launcher, &descriptors, blocking: false),
                packet.kind == RendererLink.ended
            else { return }
            takeEnd(by: Int32(truncatingIfNeeded: packet.number))
        } catch {
            loseLauncher()
        }
    }

    private func takeEnd(by signal: Int32) {
        // What it has answered counts.
        takeReplies()
        if session != nil {
            crashSignal = signal
            leave(
                signal == 0
                    ? "The renderer has ended."
                    : "The renderer was ended by signal \(signal), \(String(cString: strsignal(signal))).")
        }
        finishEnd()
    }

    /// The end of the launcher kills the renderer. Nobody is left to tell when that is done but the system, which closes the renderer's
    /// socket behind its memory.
    private func loseLauncher() {
        if let launcherWatch { loop.unwatch(launcherWatch) }
        launcherWatch = nil
        leave("The renderer's launcher has ended.")
        guard let session = leaving?.session else { return }
        session.watch = try? loop.watch("renderer: end", session.socket.descriptor, for: []) { [unowned self] _ in
            finishEnd()
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
        guard session != nil || leaving != nil else { return completion(nil) }
        let sequence = nextSequence
        nextSequence += 1
        if pending.isEmpty, session != nil { keepWatch() }
        pending.append(Pending(sequence: sequence, completion: completion))
        guard session != nil else { return }
        backlog.append((sequence, command))
        flush()
    }

    /// Shares memory with the renderer.
    ///
    /// - Parameters:
    ///   - file: stays open until this returns.
    ///   - offset: a multiple of the page size.
    /// - Returns: what ``RendererCommand/MemoryPiece``s call it.
    /// - Throws: what keeps the renderer from getting it; one that does not take it is ended.
    public func share(_ file: borrowing Descriptor, offset: UInt64, size: UInt64) throws(Errno) -> UInt32 {
        guard let session else { throw .brokenPipe }
        do throws(Errno) {
            try RendererLink.send(RendererLink.memory, descriptors: [file.raw], over: session.socket)
        } catch {
            // It would have this thread wait as long for the next one.
            end("The renderer does not take the memory that it is given, and was ended.")
            throw error
        }
        let window = nextWindow
        nextWindow &+= 1
        send(.mapMemory(window: window, offset: offset, size: size))
        return window
    }

    private func flush() {
        while let (sequence, command) = backlog.first {
            let (kind, payload) = command.message
            do throws(RingViolation) {
                guard try session?.commands.put(kind: kind, sequence: sequence, payload) == true else { return }
            } catch {
                return endForNonsense(error)
            }
            backlog.removeFirst()
        }
    }

    /// The renderer has taken something out of the ring.
    private func flushBacklog() {
        guard isCongested else { return }
        flush()
        // Of one that was ended for it, whoever waits for room hears with its end.
        if session != nil, !isCongested { onRoom() }
    }

    private func takeReplies() {
        guard session != nil else { return }
        session?.replies.wakeUp()
        do throws(RingViolation) {
            repeat {
                while let message = try session?.replies.next() { try take(message) }
            } while try session?.replies.prepareToSleep() == false
        } catch {
            return endForNonsense(error)
        }
        flushBacklog()
    }

    private func endForNonsense(_ error: RingViolation) {
        end("The renderer has sent nonsense, and was ended: \(error).")
    }

    private func take(_ message: RingConsumer.Message) throws(RingViolation) {
        // Fences are done later than what comes behind them.
        guard let index = pending.firstIndex(where: { $0.sequence == message.sequence }),
            let reply = RendererReply(kind: message.kind, payload: message.payload)
        else {
            throw RingViolation("an answer to command \(message.sequence), which waits for none")
        }
        let completion = pending.remove(at: index).completion
        answered += 1
        completion(reply)
    }
}
