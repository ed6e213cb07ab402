import Linux
import VirtioGPUDriver

/// Serves programs that speak vtest over a UNIX socket, on one vGPU.
///
/// One thread, which never waits for a program: a socket is read and written as far as it goes. Programs take turns.
public final class VTestServer {
    private let driver: VirtioGPUDriver
    private let listener: UnixListener
    private let connection: Descriptor
    private let loop: EventLoop
    private let board: Switchboard
    private let buffer: PageBuffer
    private let idle: TimerFD
    private let patience: Duration
    private let user: UInt32
    private let log: ReportLog
    /// Where programs connect; not looked at for a while when one can't be taken.
    private var entrance: EventLoop.Token?
    private let pause: TimerFD
    private var programs: [UInt64: Program] = [:]
    private var nextProgram: UInt64 = 0
    /// Those that may have something to do at once.
    private var ready: [UInt64] = []
    private var hasEnded = false
    private var failure: DriverError?

    private final class Program {
        let socket: UnixSocket
        let conversation: Conversation
        var watch: EventLoop.Token?
        /// Whether the socket may have bytes, and has room.
        var isReadable = true
        var isWritable = true
        var isReady = false

        init(_ socket: consuming UnixSocket, _ conversation: Conversation) {
            self.socket = socket
            self.conversation = conversation
        }
    }

    /// How many messages of one program are carried out, and how often it is read from, before it is the next one's
    /// turn.
    private static let messagesATurn = 32
    private static let readsATurn = 4
    /// How long nobody is taken when one couldn't be, such as for lack of descriptors.
    private static let pauseLength = Duration.milliseconds(100)

    /// - Parameters:
    ///   - listener: where programs connect.
    ///   - connection: to the vGPU's process, to hear of its end.
    ///   - user: whose programs are served, and nobody else's.
    ///   - patience: how long to stay without a program.
    ///   - report: takes a sentence for whoever looks for the reason of something.
    public init(
        _ driver: VirtioGPUDriver, _ listener: UnixListener, connection: consuming Descriptor, loop: EventLoop,
        user: UInt32, patience: Duration, report: @escaping (String) -> Void
    ) throws(Errno) {
        self.driver = driver
        self.listener = listener
        self.connection = connection
        self.loop = loop
        self.user = user
        self.patience = patience
        let log = ReportLog(report)
        self.log = log
        board = Switchboard(driver)
        buffer = try PageBuffer(count: 256 << 10)
        idle = try TimerFD()
        pause = try TimerFD()
        board.report = { log.write($0) }
        entrance = try loop.watch("program", listener.descriptor, for: .readable) { [unowned self] _ in accept() }
        _ = try loop.watch("pause", pause.descriptor, for: .readable) { [unowned self] _ in
            pause.consume()
            look(for: .readable)
        }
        _ = try loop.watch("answer", driver.interrupt.descriptor, for: .readable) { [unowned self] _ in takeAnswers() }
        _ = try loop.watch("vGPU", self.connection, for: []) { [unowned self] _ in
            fail(.client(.disconnected))
        }
        _ = try loop.watch("no program", idle.descriptor, for: .readable) { [unowned self] _ in
            idle.consume()
            hasEnded = programs.isEmpty && !board.stays
        }
        idle.set(patience)
    }

    /// Serves until no program has been there for a while, or the vGPU has gone.
    ///
    /// - Throws: what has ended the driver.
    public func run() throws(DriverError) {
        while !hasEnded {
            do throws(Errno) {
                try loop.dispatch(within: ready.isEmpty && !board.isUntidy ? nil : .zero)
            } catch {
                throw .system(error)
            }
            do throws(DriverError) { try takeTurns() } catch { fail(error) }
        }
        if let failure { throw failure }
    }

    private func fail(_ error: DriverError) {
        failure = error
        hasEnded = true
    }

    // MARK: The device

    private func takeAnswers() {
        do throws(DriverError) {
            try driver.takeAnswers { board.take($1, token: $0) }
        } catch {
            return fail(error)
        }
        // There is room in the queue, and something to be told.
        makeAllReady()
    }

    private func makeAllReady() {
        for number in programs.keys { makeReady(number) }
    }

    // MARK: Programs

    private func accept() {
        do throws(Errno) {
            while let socket = try listener.accept(closedIn: loop.strangersLane) {
                let peer = try socket.peer()
                guard peer.uid == user else {
                    log.write("A program of user \(peer.uid) was turned away.")
                    continue
                }
                guard let conversation = board.begin(peer.pid) else {
                    log.write(
                        "Process \(peer.pid) was turned away: it has \(Switchboard.maximumConnections) connections "
                            + "already, or all programs together have \(Switchboard.maximumConversations).")
                    continue
                }
                nextProgram += 1
                let number = nextProgram
                let program = Program(socket, conversation)
                programs[number] = program
                do throws(Errno) {
                    program.watch = try loop.watch(
                        "program \(number)", program.socket.descriptor, for: [.readable, .writable, .onceEach]
                    ) { [unowned self] events in
                        wake(number, events)
                    }
                } catch {
                    end(number)
                    throw error
                }
                idle.set(nil)
                makeReady(number)
            }
        } catch {
            log.write("A program can't be served: \(error).")
            // It goes on waiting, and would be seen again at once.
            look(for: [])
            pause.set(Self.pauseLength)
        }
    }

    private func look(for events: EventLoop.Events) {
        if let entrance { try? loop.change(entrance, to: events) }
    }

    private func wake(_ number: UInt64, _ events: EventLoop.Events) {
        guard let program = programs[number] else { return }
        // Whatever it has said before, it hears no answer.
        guard events.isDisjoint(with: .hangUp) else { return end(number) }
        if events.contains(.readable) { program.isReadable = true }
        if events.contains(.writable) { program.isWritable = true }
        makeReady(number)
    }

    private func makeReady(_ number: UInt64) {
        guard let program = programs[number], !program.isReady else { return }
        program.isReady = true
        ready.append(number)
    }

    private func end(_ number: UInt64) {
        guard let program = programs.removeValue(forKey: number) else { return }
        if let watch = program.watch { loop.unwatch(watch) }
        board.end(program.conversation)
        if programs.isEmpty, !board.stays { idle.set(patience) }
    }

    private func takeTurns() throws(DriverError) {
        let now = ready
        ready = []
        for number in now {
            guard let program = programs[number] else { continue }
            program.isReady = false
            do throws(Errno) {
                if try takeTurn(of: program) { makeReady(number) }
            } catch {
                // It has gone, in the midst of an answer.
                end(number)
                continue
            }
            if let failure { throw failure }
            if let reason = program.conversation.ending {
                log.write("\(program.conversation.title) was ended: \(reason).")
                end(number)
            }
        }
        if try board.tidy() { makeAllReady() }
        try driver.notify()
    }

    /// - Returns: whether there may be more to do at once.
    private func takeTurn(of program: Program) throws(Errno) -> Bool {
        let conversation = program.conversation
        for _ in 0..<Self.readsATurn {
            do throws(DriverError) {
                if try conversation.advance(by: Self.messagesATurn) { return true }
            } catch {
                fail(error)
                return false
            }
            let wasFull = conversation.isFull
            try flush(program)
            // There is room for answers to what has come before.
            if wasFull, !conversation.isFull { continue }
            guard program.isReadable, conversation.wantsInput else { return false }
            try read(program)
        }
        return true
    }

    private func read(_ program: Program) throws(Errno) {
        var descriptors = ReceivedDescriptors()
        switch try program.socket.receive(into: buffer, from: 0, descriptors: &descriptors, blocking: false) {
        case .bytes(let count, _, _): program.conversation.receive(buffer.bytes(0..<count))
        case .nothing: program.isReadable = false
        case .endOfFile: throw .brokenPipe
        }
    }

    private func flush(_ program: Program) throws(Errno) {
        guard program.isWritable, program.conversation.hasOutput else { return }
        try program.conversation.flush { (bytes, descriptor) throws(Errno) in
            let sent = try program.socket.sendAvailable(bytes, descriptors: descriptor < 0 ? [] : [descriptor])
            if sent < bytes.byteCount { program.isWritable = false }
            return sent
        }
    }
}
