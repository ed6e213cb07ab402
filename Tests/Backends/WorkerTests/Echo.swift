import Linux
import Testing
import Waiting

@testable import Worker

/// Commands of a library that is worth nothing.
enum EchoCommand: WorkerMessage, Equatable {
    case echo([UInt8])
    /// Answered with how many bytes there are.
    case count([UInt8])
    /// Answered with what lies there.
    case read(MemoryPiece)
    /// Answered behind the next command that isn't this one.
    case late
    /// Never answered.
    case silence
    /// Never answered, and nobody minds.
    case patience

    var isPatient: Bool { self == .patience }

    func encode(into payload: inout PayloadWriter) -> UInt32 {
        switch self {
        case .echo(let bytes):
            payload.put(bytes)
            return 0
        case .count(let bytes):
            payload.put(bytes)
            return 1
        case .read(let piece):
            payload.put(piece)
            return 2
        case .late: return 3
        case .silence: return 4
        case .patience: return 5
        }
    }

    init?(kind: UInt32, payload: inout PayloadReader) {
        switch kind {
        case 0: self = .echo(payload.data())
        case 1: self = .count(payload.data())
        case 2: self = .read(payload.piece())
        case 3: self = .late
        case 4: self = .silence
        case 5: self = .patience
        default: return nil
        }
    }
}

struct EchoReply: WorkerMessage, Equatable {
    var bytes: [UInt8]

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    func encode(into payload: inout PayloadWriter) -> UInt32 {
        payload.put(bytes)
        return 0
    }

    init?(kind: UInt32, payload: inout PayloadReader) {
        guard kind == 0 else { return nil }
        bytes = payload.data()
    }
}

struct EchoLibrary: WorkerLibrary {
    private var late: [UInt64] = []
    private var due: [UInt64] = []

    mutating func carryOut(_ command: EchoCommand, _ sequence: UInt64, _ windows: WorkerWindows) -> EchoReply? {
        switch command {
        case .late:
            late.append(sequence)
            return nil
        case .silence, .patience: return nil
        case .echo(let bytes):
            due += late
            late = []
            return EchoReply(bytes)
        case .count(let bytes): return EchoReply([UInt8](String(bytes.count).utf8))
        case .read(let piece):
            guard let (base, size) = windows.address(of: piece) else { return EchoReply([]) }
            return EchoReply([UInt8](UnsafeRawBufferPointer(start: base, count: size)))
        }
    }

    mutating func forget(window: UInt32) {}

    mutating func nextAnswer() -> (sequence: UInt64, reply: EchoReply)? {
        due.isEmpty ? nil : (due.removeFirst(), EchoReply([]))
    }

    mutating func prepareToSleep() -> WorkerWait { .commands }
}

typealias EchoProcess = WorkerProcess<EchoCommand, EchoReply>

/// A worker on the loop of the test's own thread, whose launcher's part the test plays: what is launched is a thread.
final class WorkerBench {
    let loop: EventLoop
    let process: EchoProcess
    let launcher: UnixSocket
    private var thread: Thread?
    /// What was said when a worker ended.
    private(set) var ends: [String?] = []

    /// How long a test waits for anything.
    static let limit = Duration.seconds(60)

    init(patience: Duration = .seconds(60)) throws {
        loop = try EventLoop()
        let link = try UnixSocket.pair(keepsPackets: true)
        process = try EchoProcess(
            "echo", launcher: link.first, id: 0, loop: loop, memoryLimit: 1 << 30, patience: patience)
        launcher = link.second
        process.onEnd = { [unowned self] in ends.append($0) }
        try process.start()
    }

    deinit {
        process.onEnd = { _ in }
        process.stop()
        try? tellEnd(by: 9)
        _ = process.waitForEnd(within: Self.limit)
        thread?.join()
    }

    /// The next packet to the launcher, for which it waits.
    func packet(_ descriptors: inout ReceivedDescriptors) throws -> WorkerLink.Packet? {
        _ = try waitReadable([launcher.descriptor.raw], within: Self.limit)
        return try WorkerLink.receive(from: launcher, &descriptors, blocking: false)
    }

    func packet() throws -> WorkerLink.Packet? {
        var descriptors = ReceivedDescriptors()
        return try packet(&descriptors)
    }

    /// The worker's end of a session that the process has asked for.
    func session() throws -> Descriptor {
        var descriptors = ReceivedDescriptors()
        #expect(try packet(&descriptors)?.kind == WorkerLink.start)
        guard let session = descriptors.take(0) else { throw Errno.protocolError }
        return session
    }

    /// Starts the worker that the process has asked for.
    func launch() throws {
        let raw = try session().relinquish()
        thread = try Thread(name: "worker") {
            do {
                var endpoint = try WorkerEndpoint<EchoCommand, EchoReply>(UnixSocket(owning: Descriptor(owning: raw)))
                var library = EchoLibrary()
                try library.serve(&endpoint)
            } catch {
                Issue.record("The worker has ended: \(error)")
            }
        }
    }

    /// Says that the worker has ended.
    func tellEnd(by signal: Int32) throws {
        try WorkerLink.send(WorkerLink.ended, number: UInt64(signal), over: launcher)
    }

    /// Dispatches until something has come true.
    func wait(until isTrue: () -> Bool) throws {
        try loop.dispatch(until: isTrue)
    }

    /// Sends a command and waits for the answer; nil: the worker has ended without one.
    func call(_ command: EchoCommand) throws -> EchoReply? {
        var answer: EchoReply??
        process.send(command) { answer = .some($0) }
        try wait { answer != nil }
        return answer ?? nil
    }
}
