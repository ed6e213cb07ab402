import FuzzSupport
import Linux

@testable import Renderer
@testable import Worker

/// A device process with a renderer that somebody else has taken over: it has the memory of both rings, both doorbells
/// and its socket, and owes nothing.
final class HostileWorker {
    private let loop: EventLoop
    private let process: RendererProcess
    private let listener: StandInListener
    /// The launcher's end, which the device process tells when to start and to end a renderer.
    private let launcher: UnixSocket
    private var session: Session?
    /// Whether the launcher has been told to start a renderer, and has not told of its end.
    private var owesEnd = false
    /// For each command that was sent, whether it was answered.
    private var isAnswered: [Bool] = []
    /// What the device process does when it is called; from the input.
    private var reactions: [UInt8] = []
    private var reached: Set<RendererFuzzer.Feature> = []

    private final class Session {
        let socket: UnixSocket
        let commands: HostileRing
        let replies: HostileRing
        var consumer: MessageConsumer
        var producer: MessageProducer

        init(_ socket: consuming UnixSocket, _ commands: HostileRing, _ replies: HostileRing) {
            self.socket = socket
            self.commands = commands
            self.replies = replies
            consumer = MessageConsumer(commands.ring, doorbell: commands.doorbell)
            producer = MessageProducer(replies.ring, doorbell: replies.doorbell)
        }
    }

    init() throws {
        loop = try EventLoop()
        listener = try StandInListener()
        process = try RendererProcess(
            program: try StandIn.install(), kinds: .virgl, renderNode: listener.path, loop: loop,
            memoryLimit: 1 << 30)
        launcher = try listener.accept()
        process.onEnd = { [unowned self] _ in react() }
        process.onRoom = { [unowned self] in react() }
    }

    /// One input. When it is over, no command is without an answer, and the next renderer can be started.
    ///
    /// - Returns: what was reached.
    func run(_ input: inout Input) throws -> Set<RendererFuzzer.Feature> {
        reached = []
        isAnswered = []
        reactions = []
        try start()
        while !input.isEmpty { try step(&input) }
        reactions = []
        process.stop()
        end()
        guard process.waitForEnd(within: .seconds(1)), !process.isRunning, process.pendingCount == 0 else {
            fuzzFailed("A renderer that hung up has not ended.")
        }
        guard isAnswered.allSatisfy({ $0 }) else { fuzzFailed("A command got no answer.") }
        guard !process.isCongested else { fuzzFailed("Nothing is asked, and it is too much.") }
        return reached
    }

    private func start() throws {
        guard !process.isRunning else { return }
        do {
            try process.start()
        } catch {
            guard error == .resourceBusy else { throw error }
            return
        }
        try meet()
    }

    /// Takes what the device process has sent to the launcher and to the new renderer.
    private func meet() throws {
        var descriptors = ReceivedDescriptors()
        var packet: WorkerLink.Packet?
        repeat {
            packet = try WorkerLink.receive(from: launcher, &descriptors, blocking: true)
        } while packet?.kind != WorkerLink.start
        guard let end = descriptors.take(0) else { fuzzFailed("A start came without a socket.") }
        let socket = UnixSocket(owning: end)
        guard try WorkerLink.receive(from: socket, &descriptors, blocking: true)?.kind == WorkerLink.hello,
            let commandMemory = descriptors.take(0), let replyMemory = descriptors.take(1),
            let commandDoorbell = descriptors.take(2), let replyDoorbell = descriptors.take(3)
        else { fuzzFailed("A hello is not what it must be.") }
        let commands = HostileRing(
            ring: try MessageRing(adopting: commandMemory, capacity: WorkerLink.commandCapacity),
            doorbell: try EventFD(adopting: commandDoorbell))
        let replies = HostileRing(
            ring: try MessageRing(adopting: replyMemory, capacity: WorkerLink.replyCapacity),
            doorbell: try EventFD(adopting: replyDoorbell))
        session = Session(socket, commands, replies)
        owesEnd = true
    }

    /// The renderer ends, as its launcher tells.
    private func end() {
        session = nil
        guard owesEnd else { return }
        owesEnd = false
        while (try? launcher.send([WorkerLink.ended].span.bytes, descriptors: [], within: .zero)) == nil {
            // Behind what it has sent besides.
            try? loop.dispatch(within: .zero)
        }
    }

    private func step(_ input: inout Input) throws {
        let action = input.byte()
        switch action & 0x0f {
        case 0: send(RendererCommand(&input))
        case 1:
            // Sixteen of the longest are more than the ring holds.
            let command = RendererCommand(&input)
            for _ in 0...action >> 4 { send(command) }
        case 2:
            let file = try MemoryFile(name: "shared", size: 4096)
            if (try? process.share(file.descriptor, offset: 0, size: 4096)) != nil { reached.insert(.memoryShared) }
        case 3, 4, 5: answer(action)
        case 6: session?.replies.corrupt(&input)
        case 7: session?.commands.corrupt(&input)
        case 8:
            // An answer that is none, or one to a command that waits for none.
            let sequence = input.number(bytes: 2)
            _ = try? session?.producer.put(kind: UInt32(action >> 4), sequence: sequence, input.take(Int(input.byte())))
        case 9:
            // An end is the launcher's to tell, which nobody has taken over.
            let packet = action & 0x80 != 0 ? WorkerLink.start : input.byte() & 0x1f
            // Where there is no room for it nobody waits.
            if action & 0x10 == 0, let session {
                try? session.socket.send([packet].span.bytes, descriptors: [], within: .zero)
            }
            if action & 0x20 != 0 { try? launcher.send([packet].span.bytes, descriptors: [], within: .zero) }
        case 10: if action & 0x20 == 0 { end() } else { session = nil }
        case 11: process.stop()
        case 12: reactions.append(action >> 4)
        case 13: _ = process.waitForAnswers(within: .milliseconds(1))
        case 14: try start()
        default: break
        }
        if action & 0x80 == 0 { try loop.dispatch(within: .zero) }
    }

    private func send(_ command: RendererCommand) {
        let number = isAnswered.count
        isAnswered.append(false)
        process.send(command) { [unowned self] reply in
            reached.insert(reply == nil ? .rendererEnded : .answered)
            if isAnswered[number] { fuzzFailed("A command got two answers.") }
            isAnswered[number] = true
            react()
        }
        if process.isCongested { reached.insert(.congested) }
    }

    /// As an honest renderer does, unless the rings are broken already.
    private func answer(_ action: UInt8) {
        guard session != nil else { return }
        while let header = try? session?.consumer.next() {
            if session?.consumer.read(WindowCommand.self, header) != nil {
                _ = try? session?.producer.put(WindowReply(), sequence: header.sequence)
            } else {
                let status = RendererReply.Status(rawValue: UInt32(action >> 4 & 3)) ?? .done
                let reply = RendererReply(status, data: [UInt8](repeating: action, count: Int(action)))
                _ = try? session?.producer.put(reply, sequence: header.sequence)
            }
            if action & 0x0f == 5 { break }
        }
    }

    /// A device process may do anything in a completion that it may do elsewhere.
    private func react() {
        switch reactions.popLast() {
        case 0, 1: send(.fence)
        case 2: process.stop()
        case 3: try? start()
        default: break
        }
    }
}
