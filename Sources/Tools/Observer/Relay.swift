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
        while true {
            do throws(MessageStream.Failure) { try passAll() } catch {
                guard case .messageSize(let header, _) = error, passLong(header) else { return end(after: error) }
            }
        }
    }

    /// - Throws: what ends it, or keeps it from going on so.
    private func passAll() throws(MessageStream.Failure) -> Never {
        while true {
            while let message = try source.next() {
                try pass(message)
                source.consume(message)
            }
            try source.fill()
        }
    }

    // MARK: Messages

    private func pass(_ message: MessageStream.Message) throws(MessageStream.Failure) {
        let lacksSome = source.lacksDescriptors(message)
        let descriptors = source.takeDescriptors(of: message)
        if lacksSome {
            try passTooMany(message, descriptors.numbers)
        } else if connection.traps, let altered = Trap.altered(message.header, source.bytes(of: message), from: sender)
        {
            // What could be mapped or rung stays here.
            try send(altered.bytes.span.bytes, altered.keepsDescriptors ? descriptors.numbers : [])
        } else if sender == .server, message.header.command == Command.version.rawValue {
            return try passVersion(message, descriptors)
        } else {
            try send(source.bytes(of: message), descriptors.numbers)
        }
        // They were sent: now they may be closed here.
        _ = consume descriptors
    }

    /// A message with more descriptors than anybody takes is refused by its receiver. The surplus is closed already:
    /// others take its place.
    private func passTooMany(
        _ message: MessageStream.Message, _ descriptors: [Int32]
    ) throws(MessageStream.Failure) {
        guard let any = descriptors.first else { throw .overrun }
        let surplus = [Int32](repeating: any, count: ReceivedDescriptors.capacity + 1 - descriptors.count)
        try send(source.bytes(of: message), descriptors + surplus)
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
        case .overrun, .timedOut:
            connection.delegate.observe(
                notice: "Connection \(connection.number) is ended: its \(sender) has sent too many descriptors.")
            link.shutDown()
        case .messageSize, .system: break
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

    // MARK: Long messages

    /// Gives on a message that is longer than what is kept, piece by piece.
    ///
    /// - Returns: false when nothing more can come or go.
    private func passLong(_ header: MessageHeader) -> Bool {
        // What is shorter than a header is no message. Where the next one begins is for the receiver to say.
        var left = header.messageSize < UInt32(MessageHeader.size) ? Int.max : Int(header.messageSize)
        let beginning = source.unconsumed
        connection.delegate.observe(beginning, descriptors: [], from: sender, connection: connection.number)
        do throws(Errno) {
            let first = source.takeDescriptors()
            try target.socket.send(beginning, descriptors: first.numbers)
            _ = consume first
            left -= beginning.byteCount
            source.removeAll()
            let buffer = try PageBuffer(count: 64 << 10)
            while left > 0 {
                var descriptors = ReceivedDescriptors()
                let received = try source.socket.receive(
                    into: buffer, from: 0, limit: left, descriptors: &descriptors, blocking: true)
                switch received {
                case .endOfFile: return false
                case .nothing: continue
                case .bytes(let count, _, _):
                    try target.socket.send(buffer.bytes(0..<count), descriptors: descriptors.numbers)
                    descriptors.removeAll()
                    left -= count
                }
            }
            return true
        } catch {
            source.socket.endReceiving()
            return false
        }
    }
}
