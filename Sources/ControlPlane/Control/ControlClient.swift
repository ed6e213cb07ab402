import Device
import Injection
import JSON
import Linux
import Tap

/// The other end of a device process's control socket: one request at a time, each with a limit to how long it may
/// take. After one that took longer the connection is of no more use.
public final class ControlClient {
    /// The longest reply that is read, in bytes.
    private static let replyLimit = 1 << 20
    /// The largest saved state that is read, in bytes.
    public static let stateLimit = 1 << 30

    private let socket: UnixSocket
    private let patience: Duration
    private let deadline: Deadline
    private var incoming: LineBuffer

    /// The path of the control socket of a device process that serves `socket`, unless it was told otherwise.
    public static func path(besides socket: String) -> String { socket + ".control" }

    /// Connects.
    ///
    /// - Parameters:
    ///   - patience: how long connecting, and each request after it, may take.
    ///   - deadline: when a request ends in any case; never unless given.
    public init(
        connectingTo path: String, patience: Duration = .seconds(10), deadline: Deadline = .never
    ) throws(ControlClientError) {
        do throws(Errno) {
            socket = try UnixSocket(connectingTo: path, within: patience)
            incoming = try LineBuffer(limit: Self.replyLimit)
        } catch {
            throw .cannotConnect(path: path, error)
        }
        self.patience = patience
        self.deadline = deadline
    }

    // MARK: Requests

    public func info() throws(ControlClientError) -> ControlInfo {
        let info: ControlInfo = try decode(request(.info).result)
        // Whoever shows it makes whole seconds of it.
        guard Self.uptimes.contains(info.uptimeSeconds) else {
            throw .malformedReply("no process is there for \(info.uptimeSeconds) s")
        }
        return info
    }

    /// Up to a thousand years, in seconds.
    private static let uptimes = 0...3.2e10

    /// What a head shows: a copy in this process's memory.
    public func screenshot(head: Int = 0) throws(ControlClientError) -> Scanout {
        let reply = try request(.screenshot(head: head), takesFile: true)
        let picture: Picture = try decode(reply.result)
        guard let size = picture.size else {
            throw .malformedReply(
                "\(picture.width) by \(picture.height) pixels, \(picture.stride) bytes a line, is no picture")
        }
        let bytes = try reply.attachedFile(size).bytes()
        do throws(Errno) {
            let memory = try MemoryFile(name: "screenshot", size: size)
            memory.replace(at: 0, with: bytes.span.bytes)
            return picture.scanout(in: memory)
        } catch {
            throw .connection(error)
        }
    }

    /// The counters.
    public func statistics() throws(ControlClientError) -> JSON {
        try request(.statistics).result
    }

    /// The events behind number `after`, as soon as there are some: a connection of its own is best for that.
    ///
    /// - Parameter limit: how long to wait; nil: without end.
    public func events(after: Int = 0, within limit: Duration?) throws(ControlClientError) -> ControlEvents {
        try decode(request(.events(after: after), within: limit).result)
    }

    /// Gives the device another quota, where it isn't nil.
    ///
    /// - Returns: the quota now in force.
    public func modify(_ changes: Quota) throws(ControlClientError) -> Quota {
        try decode(request(.modify(changes)).result)
    }

    /// Puts a monitor at a head, or another in the place of the one there, or takes it away.
    public func connect(_ monitor: Monitor?, to head: Int) throws(ControlClientError) {
        _ = try request(.monitor(monitor, head: head))
    }

    /// The device's state, in a file of the device process.
    ///
    /// - Parameter limit: the most bytes that it may have.
    public func save(limit: Int = stateLimit) throws(ControlClientError) -> AttachedFile {
        let reply = try request(.save, takesFile: true)
        let saved: SavedSize = try decode(reply.result)
        guard (0...max(0, limit)).contains(saved.size) else {
            throw .malformedReply("a state of \(saved.size) bytes is too large")
        }
        return try reply.attachedFile(saved.size)
    }

    /// All that passes the device's doors from now on, as long as this client is there.
    ///
    /// - Parameter start: whether what is kept of before comes first.
    /// - Returns: what reads it, the device's type, the parts of BARs where accesses aren't seen, and the bytes of
    ///   configuration space, which tell where capabilities are.
    public func trace(from start: EventReader.Start = .next) throws(ControlClientError) -> (
        events: EventReader, type: String, mapped: [MappedPart], configuration: [UInt8]
    ) {
        var reply = try request(.trace, takesFile: true)
        let traced: Tracing.Beginning = try decode(reply.result)
        guard traced.mapped.allSatisfy({ $0.start < $0.end }) else {
            throw .malformedReply("a part ends before it begins")
        }
        guard let file = reply.descriptors.take(0) else { throw .malformedReply("its file is missing") }
        guard let configuration = [UInt8](hexadecimal: traced.configuration ?? ""), configuration.count <= 4096 else {
            throw .malformedReply("its configuration space is no text of hexadecimal digits")
        }
        do throws(Errno) {
            return (try EventReader(file, from: start), traced.type, traced.mapped, configuration)
        } catch {
            throw .malformedReply("what comes with it is no recorder's memory: \(error)")
        }
    }

    /// The memory of the process's flight recorder, which outlives the process.
    public func recorder() throws(ControlClientError) -> AttachedFile {
        var reply = try request(.recorder, takesFile: true)
        guard let file = reply.descriptors.take(0) else { throw .malformedReply("its file is missing") }
        // All else may never give its bytes, or not even its size.
        guard file.isMemory() else { throw .malformedReply("what comes with it is no memory file") }
        do throws(Errno) {
            let size = Int(clamping: try file.status().size)
            guard size == EventRecorder.standardBytes else { throw Errno.invalidArgument }
            return AttachedFile(descriptor: file, size: size)
        } catch {
            throw .malformedReply("what comes with it is no recorder's memory: \(error)")
        }
    }

    /// All that passes the device's doors from now on, with all its bytes and what is needed to make the device anew, as
    /// long as this client is there. It is of no other use until the recording has ended.
    ///
    /// - Parameter isLossless: the device waits for whoever reads: at most 100 ms in an access, and at most 1 s in any
    ///   5 s.
    public func record(isLossless: Bool) throws(ControlClientError) -> LiveRecording {
        var reply = try request(.record(isLossless: isLossless), takesFile: true)
        let beginning: Tracing.Beginning = try decode(reply.result)
        guard beginning.mapped.allSatisfy({ $0.start < $0.end }) else {
            throw .malformedReply("a part ends before it begins")
        }
        guard let ring = reply.descriptors.take(0), let readerBell = reply.descriptors.take(1),
            let writerBell = reply.descriptors.take(2)
        else { throw .malformedReply("its file is missing") }
        do throws(Errno) {
            let reader = try RecordStreamReader(ring: ring, readerBell: readerBell, writerBell: writerBell)
            return LiveRecording(self, reader, type: beginning.type, mapped: beginning.mapped)
        } catch {
            throw .malformedReply("what comes with it is no recording's ring: \(error)")
        }
    }

    func endRecording() throws(ControlClientError) {
        _ = try request(.endRecording)
    }

    /// Whether the process has closed the connection.
    func isOver() throws(ControlClientError) -> Bool {
        let raw = socket.descriptor.raw
        return try connected { () throws(Errno) in try waitReadable([raw], within: .zero) }.first ?? false
    }

    /// Asks about the rules that alter what passes the device's doors, or changes them.
    @discardableResult
    public func inject(_ request: InjectionRequest) throws(ControlClientError) -> InjectionReport {
        try decode(self.request(.inject(request)).result)
    }

    /// Waits until the process has closed the connection, or something else can be read, at most so long.
    public func wait(
        for other: borrowing Descriptor, within limit: Duration
    ) throws(ControlClientError) -> (isOver: Bool, isReady: Bool) {
        let raw = [socket.descriptor.raw, other.raw]
        let ready = try connected { () throws(Errno) in try Linux.waitReadable(raw, within: limit) }
        return (ready[0], ready[1])
    }

    /// Asks the process to end. It is still there when this returns.
    public func stop() throws(ControlClientError) {
        _ = try request(.stop)
    }

    private func decode<Value: Decodable>(_ result: JSON) throws(ControlClientError) -> Value {
        do throws(JSONError) {
            return try result.decode()
        } catch {
            throw .malformedReply("\(error)")
        }
    }

    // MARK: The wire

    private struct Reply: ~Copyable {
        let result: JSON
        var descriptors: ReceivedDescriptors

        /// The file that came with the reply.
        consuming func attachedFile(_ size: Int) throws(ControlClientError) -> AttachedFile {
            guard let file = descriptors.take(0) else { throw .malformedReply("its file is missing") }
            // All else may never give its bytes, or not even its size: a pipe, a file of a file system that a process
            // serves.
            guard file.isMemory() else { throw .malformedReply("what comes with it is no memory file") }
            return AttachedFile(descriptor: file, size: size)
        }
    }

    private func request(_ request: ControlRequest, takesFile: Bool = false) throws(ControlClientError) -> Reply {
        try self.request(request, within: patience, takesFile: takesFile)
    }

    private func request(
        _ request: ControlRequest, within limit: Duration?, takesFile: Bool = false
    ) throws(ControlClientError) -> Reply {
        socket.setTakesDescriptors(takesFile)
        let deadline = min(deadline, Deadline(after: limit))
        let line = Array(request.json.text.utf8) + [UInt8(ascii: "\n")]
        try connected { () throws(Errno) in
            try socket.send(line.span.bytes, within: deadline.left)
        }
        var descriptors = ReceivedDescriptors()
        guard let answer = try receiveLine(until: deadline, &descriptors) else {
            // The answer may come yet, and would be taken for that to the next request.
            socket.shutDown()
            throw .timedOut(after: limit ?? patience)
        }
        return Reply(result: try ControlReply.result(of: answer), descriptors: descriptors)
    }

    /// - Returns: nil when the time ran out.
    private func receiveLine(
        until deadline: Deadline, _ descriptors: inout ReceivedDescriptors
    ) throws(ControlClientError) -> [UInt8]? {
        do throws(Errno) {
            return try incoming.receiveLine(from: socket, until: deadline, descriptors: &descriptors)
        } catch .timedOut {
            return nil
        } catch .messageTooLong {
            throw .malformedReply("it is longer than \(incoming.limit) bytes")
        } catch {
            throw ControlClientError(error)
        }
    }
}

/// Runs a system call on the connection.
private func connected<Result>(_ call: () throws(Errno) -> Result) throws(ControlClientError) -> Result {
    do throws(Errno) {
        return try call()
    } catch {
        throw ControlClientError(error)
    }
}

/// Why a request got no result.
public enum ControlClientError: Error, Equatable, CustomStringConvertible {
    case cannotConnect(path: String, Errno)
    /// The process didn't answer in time.
    case timedOut(after: Duration)
    /// The process closed the connection instead of answering.
    case closed
    case connection(Errno)
    /// What came is no reply: not a control socket, or another version.
    case malformedReply(String)
    /// The process said no.
    case refused(ControlError)

    /// What an error of a system call on the connection means.
    fileprivate init(_ error: Errno) {
        switch error {
        case .brokenPipe, .connectionReset: self = .closed
        default: self = .connection(error)
        }
    }

    public var description: String {
        switch self {
        case .cannotConnect(let path, .noSuchFileOrDirectory):
            "There is no control socket at '\(path)': no device process runs there."
        case .cannotConnect(let path, .connectionRefused):
            "Nobody listens at '\(path)': it is no socket, or its device process has ended."
        case .cannotConnect(let path, .permissionDenied):
            "You may not connect to '\(path)': its permissions don't allow it."
        case .cannotConnect(let path, .resourceTemporarilyUnavailable):
            "The device process at '\(path)' accepts no connection: it hangs or is overloaded."
        case .cannotConnect(let path, .fileNameTooLong):
            "'\(path)' is too long for a socket's path: at most 107 bytes."
        case .cannotConnect(let path, let error): "Can't connect to '\(path)': \(error)."
        case .timedOut(let limit): "The device process didn't answer within \(limit.inMilliseconds) ms."
        case .closed: "The device process closed the connection without an answer."
        case .connection(let error): "The connection to the device process failed: \(error)."
        case .malformedReply(let reason): "The answer is not a device process's: \(reason)."
        case .refused(let error): error.description
        }
    }
}

extension [UInt8] {
    /// - Parameter text: two digits for each byte; nil for any other.
    fileprivate init?(hexadecimal text: String) {
        let digits = Array(text.utf8)
        guard digits.count % 2 == 0 else { return nil }
        self = []
        for index in stride(from: 0, to: digits.count, by: 2) {
            guard let byte = UInt8(String(decoding: digits[index..<index + 2], as: UTF8.self), radix: 16) else {
                return nil
            }
            append(byte)
        }
    }
}
