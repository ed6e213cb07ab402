import Linux

/// What goes over the sockets between a device process, a worker's launcher and the worker itself: packets of a kind
/// and a number and, with them, descriptors.
enum WorkerLink {
    struct Packet: Equatable, Sendable {
        let kind: UInt8
        let number: UInt64

        init(_ kind: UInt8, number: UInt64 = 0) {
            self.kind = kind
            self.number = number
        }
    }

    /// To the launcher, with the worker's end of a new session: start a worker for it. The number is how many bytes of
    /// memory it may take besides what its library has at the start.
    static let start = UInt8(ascii: "s")
    /// To the launcher: end the worker at once.
    static let kill = UInt8(ascii: "k")
    /// From the launcher, once for each start: the worker has ended, and the system has taken back all that it had. The
    /// number is the signal that ended it; 0: it ended by itself.
    static let ended = UInt8(ascii: "e")
    /// To the worker, the first packet of a session: both rings' memory, the commands' doorbell, the answers' doorbell.
    static let hello = UInt8(ascii: "h")
    /// To the worker, with memory that a command is about to name.
    static let memory = UInt8(ascii: "m")

    /// In bytes.
    static let commandCapacity = 8 << 20
    static let replyCapacity = 1 << 19

    /// Takes the next packet.
    ///
    /// - Returns: nil when there is none, and `blocking` is false.
    /// - Throws: `.connectionReset` when the other side has gone.
    static func receive(
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

    static func send(
        _ kind: UInt8, number: UInt64 = 0, descriptors: [Int32] = [], over socket: borrowing UnixSocket
    ) throws(Errno) {
        var packet = PayloadWriter()
        packet.put(kind)
        packet.put(number)
        // The other side reads at once, or is in trouble.
        try socket.send(packet.bytes.span.bytes, descriptors: descriptors, within: .seconds(1))
    }
}
