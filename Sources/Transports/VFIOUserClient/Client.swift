import Linux
import VFIO
import VFIOUserWire

/// A connection to a vfio-user server, ours or another's, with its commands as typed calls.
///
/// Calls block until the server has answered. Commands that the server sends meanwhile (DMA_READ, DMA_WRITE) are
/// served from ``memory``; nothing is served between calls. One thread at a time.
public final class Client {
    /// What the client offers and how long it waits.
    public struct Configuration: Sendable {
        /// Sent in the version message.
        public var capabilities: Capabilities
        /// How long a server may take to answer; nil: without end.
        public var patience: Duration? = .seconds(5)
        /// When to give up whatever is asked then, also of a server that keeps the client busy; nil: never.
        public var deadline: ContinuousClock.Instant?

        public init() {
            capabilities = Capabilities()
            capabilities.maxMessageFDs = ReceivedDescriptors.capacity
            capabilities.writeMultiple = true
            capabilities.migrationPageSize = 4096
            capabilities.accessRing = .supported
        }
    }

    /// Answers the server's DMA messages; with none they get EFAULT.
    public weak var memory: (any ClientMemory)?
    /// What the server said of itself.
    public private(set) var server = Capabilities()
    let configuration: Configuration
    private let stream: MessageStream
    private var twin: MessageStream?
    /// Region accesses by shared memory, when the server offers it.
    private var ring: RingProducer?
    /// A message that gets no answer may still be on its way.
    private var hasPosted = false
    var ringSpin = SpinBudget()
    private var spin = SpinBudget(interval: SpinBudget.systemCallInterval)
    private let request: PageBuffer
    private var nextID: UInt16 = 0

    /// The longest message that either side may send.
    private static let maximumMessage = (1 << 20) + 4096

    /// Connects to the server's socket at `path` and agrees on a version.
    public convenience init(path: String, configuration: Configuration = Configuration()) throws(ClientError) {
        let socket: UnixSocket
        let patience = try configuration.patience(for: .version)
        do throws(Errno) {
            socket = try UnixSocket(connectingTo: path, within: patience)
        } catch {
            throw error == .resourceTemporarilyUnavailable ? .timedOut(.version) : .system(error)
        }
        try self.init(socket, configuration: configuration)
    }

    /// Agrees on a version over a socket that is connected already.
    public init(_ socket: consuming UnixSocket, configuration: Configuration = Configuration()) throws(ClientError) {
        self.configuration = configuration
        socket.setTakesDescriptors(true)
        do throws(Errno) {
            stream = try MessageStream(socket, maximumMessage: Self.maximumMessage)
            request = try PageBuffer(count: Self.maximumMessage)
        } catch {
            throw .system(error)
        }
        try negotiate()
    }

    private func negotiate() throws(ClientError) {
        let count = prepare { configuration.capabilities.write(into: &$0) }
        let message = try call(.version, payload: count)
        var descriptors = stream.takeDescriptors(of: message)
        let answer = try parse(.version, message) { payload throws(MalformedMessage) in
            try Capabilities.Message(payload)
        }
        stream.consume(message)
        guard answer.major == Capabilities.major, answer.minor <= Capabilities.minor else {
            throw .version(major: answer.major, minor: answer.minor)
        }
        server = answer.capabilities
        if case .descriptor(let index) = server.twinSocket { try openTwin(index, &descriptors) }
        if case .descriptors(let index) = server.accessRing { try openRing(index, &descriptors) }
    }

    private func openTwin(_ index: Int, _ descriptors: inout ReceivedDescriptors) throws(ClientError) {
        guard let descriptor = descriptors.take(index) else {
            throw .malformed(.version, .field("fd_index", value: UInt64(index)))
        }
        do throws(Errno) {
            twin = try MessageStream(UnixSocket(owning: descriptor), maximumMessage: Self.maximumMessage)
        } catch {
            throw .system(error)
        }
    }

    private func openRing(_ index: Int, _ descriptors: inout ReceivedDescriptors) throws(ClientError) {
        do throws(Errno) {
            ring = try RingProducer(&descriptors, at: index)
        } catch .invalidArgument {
            throw .malformed(.version, .field("fd_index", value: UInt64(index)))
        } catch {
            throw .system(error)
        }
    }

    // MARK: Commands in general

    /// Lets `body` write a request's payload.
    ///
    /// - Returns: what `body` returns: the number of bytes.
    func prepare(_ body: (inout MutableRawSpan) -> Int) -> Int {
        var bytes = request.mutableBytes(MessageHeader.size..<request.count)
        return body(&bytes)
    }

    /// Sends the prepared payload and more, and waits for the reply, which must be given to ``finish(_:)``.
    ///
    /// - Parameters:
    ///   - payload: bytes that ``prepare(_:)`` has written.
    ///   - data: bytes to follow them.
    ///   - descriptors: to send along; they stay the caller's.
    /// - Throws: ``ClientError``; there is no reply to finish then.
    func call(
        _ command: Command, payload: Int = 0, data: RawSpan = RawSpan(), descriptors: [Int32] = []
    ) throws(ClientError) -> MessageStream.Message {
        let deadline = Deadline(after: try configuration.patience(for: command))
        let id = try send(command, payload: payload, data: data, descriptors: descriptors)
        while true {
            while let message = try nextMessage(stream, command) {
                if message.header.type == .reply, message.header.id == id {
                    hasPosted = false
                    guard !message.header.flags.contains(.error) else {
                        let errno = Errno(rawValue: Int32(truncatingIfNeeded: message.header.error))
                        stream.consume(message)
                        throw .refused(command, errno)
                    }
                    return message
                }
                try serve(message, on: stream, command, deadline)
            }
            try receive(command, until: deadline)
        }
    }

    /// The ring, unless an access through it could overtake a message.
    var freeRing: RingProducer? { hasPosted ? nil : ring }

    /// Sends a command that wants no answer.
    func post(_ command: Command, payload: Int, data: RawSpan = RawSpan()) throws(ClientError) {
        hasPosted = true
        _ = try send(command, payload: payload, data: data, flags: .noReply)
    }

    private func send(
        _ command: Command, payload: Int, data: RawSpan, descriptors: [Int32] = [], flags: MessageHeader.Flags = []
    ) throws(ClientError) -> UInt16 {
        nextID &+= 1
        let header = MessageHeader(command, id: nextID, payload: payload + data.byteCount, flags: flags)
        var bytes = request.mutableBytes(0..<MessageHeader.size)
        header.write(into: &bytes)
        let patience = try configuration.patience(for: command)
        do throws(Errno) {
            try stream.socket.send(
                request.bytes(0..<MessageHeader.size + payload), data, descriptors: descriptors, within: patience)
        } catch {
            switch error {
            case .brokenPipe, .connectionReset: throw .disconnected
            case .timedOut: throw .timedOut(command)
            default: throw .system(error)
            }
        }
        return nextID
    }

    private func nextMessage(
        _ stream: MessageStream, _ command: Command
    ) throws(ClientError) -> MessageStream.Message? {
        do throws(MessageStream.Failure) { return try stream.next() } catch { throw ClientError(error, command) }
    }

    /// Waits for something on the main socket, while traffic is dense without sleeping, else on either or for an
    /// eventfd; answers what comes on the twin.
    private func receive(_ command: Command, or eventFD: EventFD? = nil, until deadline: Deadline) throws(ClientError) {
        do throws(MessageStream.Failure) {
            if eventFD == nil, try spin.wait(until: { () throws(MessageStream.Failure) in try stream.fillAvailable() })
            {
                return
            }
            let left = deadline.left
            guard left != .zero, try stream.fill(alongside: twin, or: eventFD, within: left) else {
                throw MessageStream.Failure.timedOut
            }
        } catch {
            throw ClientError(error, command)
        }
        try serveTwin(command, deadline)
    }

    /// Sleeps until the server rings the eventfd, answering its commands meanwhile.
    func sleep(until eventFD: EventFD, _ command: Command, _ deadline: Deadline) throws(ClientError) {
        try receive(command, or: eventFD, until: deadline)
        while let message = try nextMessage(stream, command) { try serve(message, on: stream, command, deadline) }
    }

    /// Answers one command of the server's while an answer of its is awaited, which all of its commands together must
    /// not put off. Replies to nothing are dropped.
    private func serve(
        _ message: MessageStream.Message, on stream: MessageStream, _ command: Command, _ deadline: Deadline
    ) throws(ClientError) {
        serve(message, on: stream)
        stream.consume(message)
        guard !deadline.hasPassed else { throw .timedOut(command) }
    }

    private func serveTwin(_ command: Command, _ deadline: Deadline) throws(ClientError) {
        guard let twin else { return }
        while let message = try nextMessage(twin, command) { try serve(message, on: twin, command, deadline) }
    }

    /// Gives up a reply, when all of it has been read.
    func finish(_ message: MessageStream.Message) {
        stream.consume(message)
    }

    /// What a reply says. Valid until the reply is finished.
    @_lifetime(immortal)
    func payload(of message: MessageStream.Message) -> RawSpan {
        stream.payload(of: message)
    }

    /// The descriptors that came with a reply.
    func takeDescriptors(of message: MessageStream.Message) -> ReceivedDescriptors {
        stream.takeDescriptors(of: message)
    }

    /// Reads a reply's payload; the reply is given up when that fails.
    func parse<Value>(
        _ command: Command, _ message: MessageStream.Message, _ read: (RawSpan) throws(MalformedMessage) -> Value
    ) throws(ClientError) -> Value {
        do throws(MalformedMessage) {
            return try read(stream.payload(of: message))
        } catch {
            stream.consume(message)
            throw .malformed(command, error)
        }
    }

    // MARK: The server's commands

    /// Answers one command of the server's. A reply that nobody waits for is dropped.
    private func serve(_ message: MessageStream.Message, on stream: MessageStream) {
        guard message.header.type == .command else { return }
        // The request buffer is free: the request in flight has been sent.
        let header = message.header
        let payload = stream.payload(of: message)
        var answer: (payload: Int, errno: Errno?) = (0, nil)
        do {
            switch Command(rawValue: header.command) {
            case .dmaRead: answer.payload = try readMemory(payload)
            case .dmaWrite: answer.payload = try writeMemory(payload)
            default: throw Errno.invalidArgument
            }
        } catch {
            // What is no errno says what is malformed.
            answer.errno = error as? Errno ?? .invalidArgument
        }
        guard !header.flags.contains(.noReply) else { return }
        let reply = header.reply(payload: answer.payload, error: answer.errno?.rawValue ?? 0)
        var bytes = request.mutableBytes(0..<MessageHeader.size)
        reply.write(into: &bytes)
        // A server that is gone, and one that takes too long, is noticed by whoever waits for its reply.
        guard let patience = try? configuration.patience(for: .dmaRead) else { return }
        try? stream.socket.send(request.bytes(0..<Int(reply.messageSize)), within: patience)
    }

    private func readMemory(_ payload: RawSpan) throws -> Int {
        let transfer = try DMATransfer(read: payload)
        guard let memory, transfer.count <= UInt64(configuration.capabilities.maxDataTransfer),
            transfer.count <= UInt64(request.count - MessageHeader.size - DMATransfer.size)
        else { throw Errno.badAddress }
        let end = MessageHeader.size + DMATransfer.size + Int(transfer.count)
        var bytes = request.mutableBytes(MessageHeader.size..<end)
        transfer.write(into: &bytes)
        var data = bytes._mutatingExtracting(DMATransfer.size..<bytes.byteCount)
        try memory.read(at: transfer.address, into: &data)
        return DMATransfer.size + Int(transfer.count)
    }

    private func writeMemory(_ payload: RawSpan) throws -> Int {
        let transfer = try DMATransfer(withData: payload)
        guard let memory else { throw Errno.badAddress }
        try memory.write(at: transfer.address, from: payload.extracting(droppingFirst: DMATransfer.size))
        var bytes = request.mutableBytes(MessageHeader.size..<request.count)
        return transfer.write(into: &bytes)
    }
}

extension Client.Configuration {
    /// How long to wait for something at most from now on; nil: without end.
    func patience(for command: Command) throws(ClientError) -> Duration? {
        guard let deadline else { return patience }
        let left = ContinuousClock.now.duration(to: deadline)
        guard left > .zero else { throw .timedOut(command) }
        return patience.map { min($0, left) } ?? left
    }
}

extension ClientError {
    init(_ failure: MessageStream.Failure, _ command: Command) {
        switch failure {
        case .timedOut: self = .timedOut(command)
        case .endOfFile, .messageSize, .overrun: self = .disconnected
        case .system(let errno): self = .system(errno)
        }
    }
}
