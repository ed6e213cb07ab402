import Glibc
import Linux
import SharedRing
import Tap

/// A worker in a process of its own, as the device process sees it: commands go in, answers come back, and it may end
/// or hang at any moment without harm to anybody.
///
/// The first process that is started, the *launcher*, starts workers as copies of itself, so that a device process
/// which has given up the right to start programs can have a new one. All calls belong to the thread of `loop`, and so
/// do all answers.
public final class WorkerProcess<Command: WorkerMessage, Reply: WorkerMessage> {
    /// What is called with the answer to a command; nil: the worker has ended without one, and touches nothing that it
    /// was given any more.
    public typealias Completion = (Reply?) -> Void

    struct Pending {
        let sequence: UInt64
        let answer: Answer
        let title: MessageTitle?
        let isPatient: Bool
    }

    enum Answer {
        case command(Completion)
        case window(() -> Void)

        /// There is no worker any more.
        func tellEnd() {
            switch self {
            case .command(let completion): completion(nil)
            case .window(let completion): completion()
            }
        }
    }

    enum Request {
        case command(Command)
        case window(WindowCommand)

        var title: MessageTitle? {
            if case .command(let command) = self { command.title } else { nil }
        }

        var isPatient: Bool {
            if case .command(let command) = self { command.isPatient } else { false }
        }
    }

    /// What it is, for sentences: such as "renderer".
    let name: String
    /// The launcher's process ID; the worker is its child.
    public let launcherID: Int32
    private let loop: EventLoop
    private let launcher: UnixSocket
    private let log: WorkerLog?
    private var launcherWatch: EventLoop.Token?
    let watchdog: Watchdog
    var session: WorkerSession?
    /// The signal that ended the last worker which ended by itself, as one that crashes; 0: none.
    public private(set) var crashSignal: Int32 = 0
    /// A worker that was told to end and may not have done so yet, and why.
    var leaving: (session: WorkerSession, reason: String?, wasCongested: Bool)?
    /// Commands that have no answer yet, in their order.
    var pending: [Pending] = []
    /// How many of those aren't patient: while there is one, the watchdog watches.
    var dueCount = 0
    /// Of the last command with a title that was answered.
    var lastTitle: MessageTitle?
    /// Commands for which the ring had no room.
    var backlog: [(sequence: UInt64, request: Request)] = []
    var nextSequence: UInt64 = 1
    var nextWindow: UInt32 = 1

    /// How many bytes of memory a worker that is started from now on may take, besides what its library has at the
    /// start. What needs more fails, or ends it.
    public var memoryLimit: UInt64

    /// Called when a worker has ended, behind the completions of what it left undone, with a sentence for the log; nil:
    /// it was told to by ``stop(_:)`` without one.
    public var onEnd: (String?) -> Void = { _ in }
    /// Called when ``isCongested`` has become false.
    public var onRoom: () -> Void = {}

    /// Who sees what the worker is told and answers; nobody unless somebody is given.
    public var tap: () -> (any Tap)? = { nil }

    /// Whether there is a worker.
    public var isRunning: Bool { session != nil }
    /// Commands that have no answer yet.
    public var pendingCount: Int { pending.count }
    /// Whether commands wait because the ring is full: those who send many had better wait too.
    public var isCongested: Bool { !backlog.isEmpty }

    /// Starts the launcher; no worker yet.
    ///
    /// - Parameters:
    ///   - name: what it is, for sentences: such as "renderer".
    ///   - program: the launcher's path.
    ///   - arguments: the launcher's, without its name.
    ///   - memoryLimit: ``memoryLimit``.
    ///   - patience: how long a worker may go without an answer while one is due, before it is taken for hung.
    public convenience init(
        _ name: String, program: String, arguments: [String], loop: EventLoop, memoryLimit: UInt64,
        patience: Duration = .seconds(10)
    ) throws(Errno) {
        let pair = try UnixSocket.pair(keepsPackets: true, closedIn: loop.clientLane)
        let output = try PipeEnds()
        let id = try ChildProcess.spawn(
            program, arguments, passing: [pair.second.descriptor.raw], standardError: output.writer.raw)
        let log = try WorkerLog(
            output.reader, of: String(program.split(separator: "/").last ?? "worker"), loop: loop)
        try self.init(
            name, launcher: pair.first, id: id, log: log, loop: loop, memoryLimit: memoryLimit,
            patience: patience)
    }

    /// - Parameters:
    ///   - launcher: this end of the socket that the launcher has.
    ///   - log: what launcher and workers say, if they can.
    init(
        _ name: String, launcher: consuming UnixSocket, id: Int32, log: WorkerLog? = nil, loop: EventLoop,
        memoryLimit: UInt64, patience: Duration
    ) throws(Errno) {
        self.name = name
        self.memoryLimit = memoryLimit
        self.loop = loop
        self.log = log
        watchdog = try Watchdog(patience, loop: loop)
        launcherID = id
        self.launcher = launcher
        launcherWatch = try loop.watch("worker: launcher", self.launcher.descriptor, for: .readable) {
            [unowned self] _ in hearLauncher()
        }
        watchdog.onTime = { [unowned self] in checkProgress($0) }
    }

    deinit {
        if let launcherWatch { loop.unwatch(launcherWatch) }
        if let watch = session?.watch { loop.unwatch(watch) }
        if let watch = leaving?.session.watch { loop.unwatch(watch) }
    }

    // MARK: Life

    /// Has the launcher start a worker, unless there is one.
    ///
    /// - Throws: the error that keeps it from starting, such as `.brokenPipe` when the launcher has gone, or
    ///   `.resourceBusy` while the last one has not ended.
    public func start() throws(Errno) {
        guard session == nil else { return }
        guard leaving == nil else { throw .resourceBusy }
        let session = try WorkerSession(closedIn: loop.clientLane) { workerEnd throws(Errno) in
            try WorkerLink.send(WorkerLink.start, number: memoryLimit, descriptors: [workerEnd], over: launcher)
        }
        self.session = session
        tap()?.note(.connected(name))
        do throws(Errno) {
            session.watch = try loop.watch(
                "worker: replies", session.replies.doorbell.event.descriptor, for: .readable
            ) {
                [unowned self] _ in
                takeReplies()
            }
        } catch {
            stop("The \(name) was ended, for its answers can't be waited for.")
            throw error
        }
        takeReplies()
    }

    /// Ends the worker at once: what it has not answered, it won't.
    ///
    /// - Parameter reason: a sentence for ``onEnd``.
    public func stop(_ reason: String? = nil) {
        guard session != nil else { return }
        leave(reason)
        // One that hangs sees nothing.
        try? WorkerLink.send(WorkerLink.kill, over: launcher)
    }

    /// Waits until the worker that was told to end has ended, whose completions are called then.
    ///
    /// - Returns: false when the time ran out.
    public func waitForEnd(within limit: Duration?) -> Bool {
        let deadline = Deadline(after: limit)
        while let leaving {
            let hasLauncher = launcherWatch != nil
            let source = hasLauncher ? launcher.descriptor.raw : leaving.session.socket.descriptor.raw
            let left = deadline.left
            guard left != .zero, let ready = try? waitReadable([source], within: left) else { return false }
            guard ready == [true] else { continue }
            if hasLauncher { hearLauncher() } else { finishEnd() }
        }
        return true
    }

    /// Waits until every command has its answer.
    ///
    /// - Returns: false when the time ran out.
    public func waitForAnswers(within limit: Duration?) -> Bool {
        let deadline = Deadline(after: limit)
        while !pending.isEmpty {
            guard let session else { return waitForEnd(within: deadline.left) }
            let sources = [session.replies.doorbell.event.descriptor.raw, launcher.descriptor.raw]
            let left = deadline.left
            guard left != .zero, let ready = try? waitReadable(sources, within: left) else { return false }
            if ready[0] { takeReplies() }
            // It may have answered before it ended.
            if ready[1], !ready[0] { hearLauncher() }
        }
        return true
    }

    /// The worker that was to end touches nothing any more.
    private func finishEnd() {
        guard let (session, reason, wasCongested) = leaving else { return }
        // What it said before it ended comes before what is said of its end.
        log?.drain()
        leaving = nil
        if let watch = session.watch { loop.unwatch(watch) }
        let lost = pending
        pending = []
        dueCount = 0
        lastTitle = nil
        for command in lost { command.answer.tellEnd() }
        onEnd(reason)
        if wasCongested { onRoom() }
    }

    private func leave(_ reason: String?) {
        guard let session else { return }
        self.session = nil
        tap()?.note(.disconnected(name))
        leaving = (session, reason, isCongested)
        watchdog.stop()
        backlog = []
        if let watch = session.watch { loop.unwatch(watch) }
        session.watch = nil
    }

    private func hearLauncher() {
        var descriptors = ReceivedDescriptors()
        do throws(Errno) {
            guard let packet = try WorkerLink.receive(from: launcher, &descriptors, blocking: false),
                packet.kind == WorkerLink.ended
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
                    ? "The \(name) has ended."
                    : "The \(name) was ended by signal \(signal), \(String(cString: strsignal(signal))).")
        }
        finishEnd()
    }

    /// The end of the launcher kills the worker. Nobody is left to tell when that is done but the system, which closes
    /// the worker's socket behind its memory.
    private func loseLauncher() {
        if let launcherWatch { loop.unwatch(launcherWatch) }
        launcherWatch = nil
        leave("The \(name)'s launcher has ended.")
        guard let session = leaving?.session else { return }
        session.watch = try? loop.watch("worker: end", session.socket.descriptor, for: []) { [unowned self] _ in
            finishEnd()
        }
    }

    private func checkProgress(_ hasProgressed: Bool) {
        guard dueCount > 0 else { return }
        guard hasProgressed else {
            let time = watchdog.patience.inMilliseconds
            return stop("The \(name) has not answered for \(time) ms, and was ended\(suspicion).")
        }
        watchdog.start()
    }

    /// Where one that hangs may be, as the end of a sentence.
    private var suspicion: String {
        if let title = pending.lazy.compactMap(\.title).first { return ": \(title) was due" }
        return lastTitle.map { ": the last that it answered was \($0)" } ?? ""
    }
}
