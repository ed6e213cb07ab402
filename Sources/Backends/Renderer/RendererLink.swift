import Linux
import SharedRing

/// What goes over the sockets between a device process, the renderer's launcher and the renderer itself: packets of a kind and a number
/// and, with them, descriptors.
public enum RendererLink {
    public struct Packet: Equatable, Sendable {
        public let kind: UInt8
        public let number: UInt64

        public init(_ kind: UInt8, number: UInt64 = 0) {
            self.kind = kind
            self.number = number
        }
    }

    /// To the launcher, with the renderer's end of a new session: start a renderer for it. The number is how many bytes of memory it may
    /// take besides what its driver has at the start.
    public static let start = UInt8(ascii: "s")
    /// To the launcher: end the renderer at once.
    public static let kill = UInt8(ascii: "k")
    /// From the launcher, once for each start: the renderer has ended, and the system has taken back all that it had. The number is the
    /// signal that ended it; 0: it ended by itself.
    public static let ended = UInt8(ascii: "e")
    /// To the renderer, the first packet of a session: both rings' memory, the commands' doorbell, the answers' doorbell.
    static let hello = UInt8(ascii: "h")
    /// To the renderer, with memory that a command is about to name.
    static let memory = UInt8(ascii: "m")

    /// In bytes.
    static let commandCapacity = 8 << 20
    static let replyCapacity = 1 << 18

    /// Takes the next packet.
    ///
    /// - Returns: nil when there is none, and `blocking` is false.
    /// - Throws: `.connectionReset` when the other side has gone.
    public static func receive(
        from socket: borrowing UnixSocket, _ descriptors: inout ReceivedDescriptors, blocking: Bool
    ) throws(Errno) -> Packet? {
        let buffer = try PageBuffer(count: 4096)
        switch try socket.receive(into: buffer, from: 0, descriptors: &descriptors, blocking: blocking) {
        case .bytes(let count, _, _):
            // SAFETY: the bytes are copied while the pointer is good, and a packet that came has its first one.
            var reader = PayloadReader(buffer.bytes(1..<count).withUnsafeBytes { Array($0) })
            return Packet(buffer.bytes(0..<1).unsafeLoad(as: UInt8.self), number: reader.uint64())
        case .nothing: return nil
        case .endOfFile: throw .connectionReset
        }
    }

    public static func send(
        _ kind: UInt8, number: UInt64 = 0, descriptors: [Int32] = [], over socket: borrowing UnixSocket
    ) throws(Errno) {
        var packet = PayloadWriter()
        packet.put(kind)
        packet.put(number)
        // The other side reads at once, or is in trouble.
        try socket.send(packet.bytes.span.bytes, descriptors: descriptors, milliseconds: 1000)
    }
}

/// The renderer's end of a session.
public struct RendererEndpoint: ~Copyable {
    public let socket: UnixSocket
    public var commands: RingConsumer
    public var replies: RingProducer

    /// Waits for the first packet.
    ///
    /// - Throws: `.protocolError` when it isn't what it must be.
    public init(_ socket: consuming UnixSocket) throws(Errno) {
        var descriptors = ReceivedDescriptors()
        guard try RendererLink.receive(from: socket, &descriptors, blocking: true)?.kind == RendererLink.hello,
            let commandMemory = descriptors.take(0), let replyMemory = descriptors.take(1),
            let commandDoorbell = descriptors.take(2), let replyDoorbell = descriptors.take(3)
        else { throw .protocolError }
        let commandRing = try MessageRing(adopting: commandMemory, capacity: RendererLink.commandCapacity)
        let replyRing = try MessageRing(adopting: replyMemory, capacity: RendererLink.replyCapacity)
        let commandBell = try EventFD(adopting: commandDoorbell)
        let replyBell = try EventFD(adopting: replyDoorbell)
        self.socket = socket
        commands = RingConsumer(commandRing, doorbell: commandBell)
        replies = RingProducer(replyRing, doorbell: replyBell)
    }

    /// What becomes readable when the device process has rung.
    public var doorbell: Int32 { commands.doorbell.event.descriptor.raw }

    /// Takes the next command; nil when none waits.
    public mutating func nextCommand() throws(RingViolation) -> (sequence: UInt64, command: RendererCommand)? {
        guard let message = try commands.next() else { return nil }
        guard let command = RendererCommand(kind: message.kind, payload: message.payload) else {
            throw RingViolation(
                "message \(message.kind) of \(message.payload.count) bytes is no command")
        }
        return (message.sequence, command)
    }

    /// Answers a command.
    ///
    /// - Throws: when it breaks the rules of its ring.
    /// - Returns: false when the device process leaves answers lying until there is no room.
    public mutating func answer(_ sequence: UInt64, _ reply: RendererReply) throws(RingViolation) -> Bool {
        try replies.put(kind: reply.status.rawValue, sequence: sequence, reply.payload)
    }

    /// Takes the memory that a command names.
    public func takeMemory() throws(Errno) -> Descriptor {
        var descriptors = ReceivedDescriptors()
        guard try RendererLink.receive(from: socket, &descriptors, blocking: true)?.kind == RendererLink.memory,
            let memory = descriptors.take(0)
        else { throw .protocolError }
        return memory
    }
}
