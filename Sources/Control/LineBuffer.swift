import Linux

/// Bytes that arrive on a socket, to be taken line by line.
struct LineBuffer {
    private let bytes: PageBuffer
    /// How many bytes have arrived and are not taken yet.
    private var filled = 0

    /// The longest line, with its end, in bytes.
    var limit: Int { bytes.count }
    /// Whether nothing more can arrive before a line is taken.
    var isFull: Bool { filled == limit }
    var hasLine: Bool { lineEnd != nil }

    init(limit: Int) throws(Errno) {
        bytes = try PageBuffer(count: limit)
    }

    /// Receives what is there, without waiting. There must be room.
    mutating func receive(
        from socket: borrowing UnixSocket, descriptors: inout ReceivedDescriptors
    ) throws(Errno) -> UnixSocket.Received {
        let received = try socket.receive(into: bytes, from: filled, descriptors: &descriptors, blocking: false)
        if case .bytes(let count, _, _) = received { filled += count }
        return received
    }

    /// Takes the first line, less its end; nil when there is none yet.
    mutating func takeLine() -> [UInt8]? {
        guard let end = lineEnd else { return nil }
        let line = bytes.bytes(0..<end).withUnsafeBytes { Array($0) }
        bytes.move(end + 1..<filled, to: 0)
        filled -= end + 1
        return line
    }

    private var lineEnd: Int? {
        bytes.bytes(0..<filled).withUnsafeBytes { $0.firstIndex(of: UInt8(ascii: "\n")) }
    }
}
