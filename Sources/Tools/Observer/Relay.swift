import Linux
import VFIO
import VFIOUserWire

/// One direction of a link: takes messages from one end and gives them to the other.
struct Relay: Sendable {
    private let link: Link
    private let sender: Sender
    private unowned let connection: Connection

    init(_ link: Link, from sender: Sender, of connection: Connection) {
        self.link = link
        self.sender = sender
        self.connection = connection
    }

    private var source: MessageStream { sender == .client ? link.client : link.server }
    private var target: MessageStream { sender == .client ? link.server : link.client }

    /// Runs until nothing more can come or go.
    func run() {
        do throws(MessageStream.Failure) {
            while true {
                while let message = try source.next() {
                    try pass(message)
                    source.consume(message)
                }
                try source.fill()
            }
        } catch {
            end(after: error)
        }
    }

    // MARK: Messages

    private func pass(_ message: MessageStream.Message) throws(MessageStream.Failure) {
        let descriptors = source.takeDescriptors(of: message)
        if connection.traps, let altered = Trap.altered(message.header, source.bytes(of: message), from: sender) {
            // What could be mapped or rung stays here.
            return try send(altered.bytes.span.bytes, altered.keepsDescriptors ? descriptors.numbers : [])
        }
        guard sender == .server, message.header.command == Command.version.rawValue else {
            return try send(source.bytes(of: message), descriptors.numbers)
        }
        try passVersion(message, descriptors)
    }

    /// The server's version may bring the client a socket for the server's commands.
    private func passVersion(
        _ message: MessageStream.Message, _ received: consuming ReceivedDescriptors
    ) throws(MessageStream.Failure) {
        var numbers = received.numbers
        let capabilities = try? VFIO.Capabilities.Message(source.payload(of: message)).capabilities
        if case .descriptors = capabilities?.accessRing {
            connection.delegate.observe(
                notice: "Client \(connection.number) and the server use an access ring: what goes through it can't be "
                    + "seen, unless --trap keeps them from it.")
        }
        guard case .descriptor(let index) = capabilities?.twinSocket, numbers.indices.contains(index),
            let descriptor = received.take(index)
        else { return try send(source.bytes(of: message), numbers) }
        let twin: UnixSocket
        do throws(Errno) { twin = try connection.addTwin(UnixSocket(owning: descriptor)) } catch {
            throw .system(error)
        }
        numbers[index] = twin.descriptor.raw
        try send(source.bytes(of: message), numbers)
        // It was sent: now it may be closed here.
        _ = consume twin
    }

    private func send(_ message: RawSpan, _ descriptors: [Int32]) throws(MessageStream.Failure) {
        connection.delegate.observe(
            message, descriptors: descriptors.map(Descriptor.kind), from: sender, connection: connection.number)
        do throws(Errno) { try target.socket.send(message, descriptors: descriptors) } catch { throw .system(error) }
    }

    // MARK: The end

    private func end(after failure: MessageStream.Failure) {
        switch failure {
        case .endOfFile:
            // Bytes that are no whole message go, too: what they come to is for the other end to say.
            try? target.socket.send(source.unconsumed)
        case .messageSize(let header, _):
            connection.delegate.observe(
                notice: "What the \(sender) of connection \(connection.number) sends can't be followed any more: a "
                    + "message of \(header.messageSize) bytes. It is passed on as it is.")
            passBytes()
        case .overrun, .timedOut:
            connection.delegate.observe(
                notice: "Connection \(connection.number) is ended: its \(sender) has sent too many descriptors.")
            link.shutDown()
        case .system: break
        }
        if case .system = failure {
            // The other end takes nothing any more. What it has sent before still goes its way.
            source.socket.endReceiving()
        } else if (try? source.socket.isHungUp()) ?? true {
            target.socket.shutDown()
        } else {
            target.socket.endSending()
        }
    }

    /// Gives on what comes, message or not, until nothing comes any more.
    private func passBytes() {
        do throws(Errno) {
            try target.socket.send(source.unconsumed)
            let buffer = try PageBuffer(count: 64 << 10)
            while true {
                var descriptors = ReceivedDescriptors()
                let received = try source.socket.receive(
                    into: buffer, from: 0, descriptors: &descriptors, blocking: true)
                switch received {
                case .endOfFile: return
                case .nothing: continue
                case .bytes(let count, _, _):
                    try target.socket.send(buffer.bytes(0..<count), descriptors: descriptors.numbers)
                }
            }
        } catch {
            source.socket.endReceiving()
        }
    }
}
