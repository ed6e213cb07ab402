import Linux
import VFIO
import VFIOUserWire

/// One direction of a link: takes messages from one end and gives them to the other.
struct Relay: Sendable {
    let sender: Sender
    private let link: Link
    private unowned let connection: Connection
    private let budget: DescriptorBudget

    /// Why nothing more goes this way.
    private enum Ending: Error {
        /// Nothing more comes that could be given on.
        case receiving(MessageStream.Failure)
        /// The receiver takes nothing any more.
        case sending(Errno)
        /// Something is lacking here.
        case lacking(Errno)
    }

    init(_ link: Link, from sender: Sender, of connection: Connection, _ budget: DescriptorBudget) {
        self.link = link
        self.sender = sender
        self.connection = connection
        self.budget = budget
    }

    private var source: MessageStream { sender == .client ? link.client : link.server }
    private var target: MessageStream { sender == .client ? link.server : link.client }

    /// Runs until nothing more can come or go.
    func run() {
        do throws(Ending) { try passAll() } catch { end(after: error) }
        budget.giveBack(link, sender)
    }

    private func passAll() throws(Ending) -> Never {
        while true {
            while let message = try next() {
                try pass(message)
                source.consume(message)
            }
            if !source.hasDescriptors { budget.giveBack(link, sender) }
            do throws(MessageStream.Failure) { try source.fill() } catch { throw .receiving(error) }
            if source.hasDescriptors { takeDescriptors() }
        }
    }

    /// The next message that is there whole. Long ones are given on in pieces.
    private func next() throws(Ending) -> MessageStream.Message? {
        while true {
            do throws(MessageStream.Failure) { return try source.next() } catch {
                guard case .messageSize(let header, _) = error else { throw .receiving(error) }
                try passLong(header)
            }
        }
    }

    /// Notes that there are descriptors in hand.
    private func takeDescriptors() {
        let (link, sender, connection) = (link, sender, connection)
        budget.take(link, sender) {
            connection.delegate.observe(
                notice: "Connection \(connection.number) is ended: others need the descriptors that its \(sender) has "
                    + "sent with a message that isn't whole, or isn't taken.")
            link.shutDown()
        }
    }

    // MARK: Messages

    private func pass(_ message: MessageStream.Message) throws(Ending) {
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
    private func passTooMany(_ message: MessageStream.Message, _ descriptors: [Int32]) throws(Ending) {
        guard let any = descriptors.first else { throw .receiving(.overrun) }
        let surplus = [Int32](repeating: any, count: ReceivedDescriptors.capacity + 1 - descriptors.count)
        try send(source.bytes(of: message), descriptors + surplus)
    }

    /// The server's version may bring the client a socket for the server's commands.
    private func passVersion(
        _ message: MessageStream.Message, _ received: consuming ReceivedDescriptors
    ) throws(Ending) {
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
            throw .lacking(error)
        }
        numbers[index] = twin.descriptor.raw
        try send(source.bytes(of: message), numbers)
        // It was sent: now it may be closed here.
        _ = consume twin
    }

    private func send(_ message: RawSpan, _ descriptors: [Int32]) throws(Ending) {
        observe(message, descriptors)
        try give(message, descriptors)
    }

    private func observe(_ message: RawSpan, _ descriptors: [Int32]) {
        connection.delegate.observe(
            message, descriptors: descriptors.map(Descriptor.kind), from: sender, connection: connection.number)
    }

    private func give(_ bytes: RawSpan, _ descriptors: [Int32]) throws(Ending) {
        do throws(Errno) { try target.socket.send(bytes, descriptors: descriptors) } catch { throw .sending(error) }
    }

    // MARK: The end

    private func end(after ending: Ending) {
        switch ending {
        case .receiving(.endOfFile):
            // Bytes that are no whole message go, too: what they come to is for the other end to say.
            let descriptors = source.takeDescriptors()
            try? give(source.unconsumed, descriptors.numbers)
            _ = consume descriptors
            if (try? source.socket.isHungUp()) ?? true {
                target.socket.shutDown()
            } else {
                target.socket.endSending()
            }
        case .sending:
            // What the receiver has sent before still goes its way.
            source.socket.endReceiving()
        case .receiving(.overrun), .receiving(.timedOut):
            endBoth("its \(sender) has sent more descriptors than can be taken")
        case .receiving(.messageSize): endBoth("its \(sender) has sent what is no message")
        case .receiving(.system(let error)): endBoth("nothing can be received from its \(sender): \(error)")
        case .lacking(let error): endBoth("what its \(sender) has sent can't be given on: \(error)")
        }
    }

    /// - Parameter reason: goes on after a colon.
    private func endBoth(_ reason: String) {
        connection.delegate.observe(notice: "Connection \(connection.number) is ended: \(reason).")
        link.shutDown()
    }

    // MARK: Long messages

    /// Gives on a message that is longer than what is kept, piece by piece.
    private func passLong(_ header: MessageHeader) throws(Ending) {
        // What is shorter than a header is no message. Where the next one begins is for the receiver to say.
        var left = header.messageSize < UInt32(MessageHeader.size) ? Int.max : Int(header.messageSize)
        let first = source.takeDescriptors()
        observe(source.unconsumed, first.numbers)
        try give(source.unconsumed, first.numbers)
        _ = consume first
        left -= source.unconsumed.byteCount
        source.removeAll()
        budget.giveBack(link, sender)
        let buffer: PageBuffer
        do throws(Errno) { buffer = try PageBuffer(count: 64 << 10) } catch { throw .lacking(error) }
        while left > 0 { left -= try passPiece(upTo: left, by: buffer) }
    }

    /// Gives on what comes next, and its descriptors.
    ///
    /// - Returns: how many bytes.
    private func passPiece(upTo limit: Int, by buffer: PageBuffer) throws(Ending) -> Int {
        var descriptors = ReceivedDescriptors()
        let received: UnixSocket.Received
        do throws(Errno) {
            received = try source.socket.receive(
                into: buffer, from: 0, limit: limit, descriptors: &descriptors, blocking: true)
        } catch {
            throw .lacking(error)
        }
        switch received {
        case .endOfFile: throw .receiving(.endOfFile)
        case .nothing: return 0
        case .bytes(let count, let hasDescriptors, _):
            if hasDescriptors { takeDescriptors() }
            defer { budget.giveBack(link, sender) }
            try give(buffer.bytes(0..<count), descriptors.numbers)
            descriptors.removeAll()
            return count
        }
    }
}
