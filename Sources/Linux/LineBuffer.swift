/// Bytes that arrive on a socket, to be taken line by line.
public struct LineBuffer {
    private let bytes: PageBuffer
    /// How many bytes have arrived and are not taken yet.
    private var filled = 0

    /// The longest line, with its end, in bytes.
    public var limit: Int { bytes.count }
    /// Whether nothing more can arrive before a line is taken.
    public var isFull: Bool { filled == limit }
    /// Whether a whole line has arrived.
    public var hasLine: Bool { lineEnd != nil }

    /// - Parameter limit: the longest line, with its end, in bytes, at least 1.
    /// - Throws: `mmap(2)`'s error.
    public init(limit: Int) throws(Errno) {
        bytes = try PageBuffer(count: limit)
    }

    /// Receives what is there, without waiting. There must be room.
    public mutating func receive(
        from socket: borrowing UnixSocket, descriptors: inout ReceivedDescriptors
    ) throws(Errno) -> UnixSocket.Received {
        let received = try socket.receive(into: bytes, from: filled, descriptors: &descriptors, blocking: false)
        if case .bytes(let count, _, _) = received { filled += count }
        return received
    }

    /// Takes the first line, less its end; nil when there is none yet.
    public mutating func takeLine() -> [UInt8]? {
        guard let end = lineEnd else { return nil }
        let line = bytes.bytes(0..<end).withUnsafeBytes { Array($0) }
        bytes.move(end + 1..<filled, to: 0)
        filled -= end + 1
        return line
    }

    /// Waits until there is a whole line, and takes it.
    ///
    /// - Throws: `.timedOut` when the time is over, `.connectionReset` when the peer has closed its end,
    ///   `.messageTooLong` when the line is longer than ``limit``.
    public mutating func receiveLine(
        from socket: borrowing UnixSocket, until deadline: Deadline, descriptors: inout ReceivedDescriptors
    ) throws(Errno) -> [UInt8] {
        while true {
            if let line = takeLine() { return line }
            guard !isFull else { throw .messageTooLong }
            let left = deadline.millisecondsLeft
            guard left != 0, try socket.waitReadable(milliseconds: left) else { throw .timedOut }
            guard try receive(from: socket, descriptors: &descriptors) != .endOfFile else { throw .connectionReset }
        }
    }

    private var lineEnd: Int? {
        bytes.bytes(0..<filled).withUnsafeBytes { $0.firstIndex(of: UInt8(ascii: "\n")) }
    }
}
