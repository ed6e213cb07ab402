/// Bytes that arrive on a socket, to be taken line by line.
public struct LineBuffer {
    private let bytes: PageBuffer
    /// Where the bytes begin that are not taken yet, and where they end.
    private var start = 0
    private var filled = 0
    /// Where the first line ends; nil: no whole line has arrived.
    private var lineEnd: Int?

    /// The longest line, with its end, in bytes.
    public var limit: Int { bytes.count }
    /// Whether nothing more can arrive before a line is taken.
    public var isFull: Bool { filled - start == limit }
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
        makeRoom()
        let received = try socket.receive(into: bytes, from: filled, descriptors: &descriptors, blocking: false)
        if case .bytes(let count, _, _) = received {
            // Each byte is looked at once, however few arrive at a time.
            let new = filled
            filled += count
            if lineEnd == nil { lineEnd = lineEnd(from: new) }
        }
        return received
    }

    /// Takes the first line, less its end; nil when there is none yet.
    public mutating func takeLine() -> [UInt8]? {
        guard let end = lineEnd else { return nil }
        let line = bytes.bytes(start..<end).withUnsafeBytes { Array($0) }
        start = end + 1
        lineEnd = lineEnd(from: start)
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
            let left = deadline.left
            guard left != .zero, try socket.waitReadable(within: left) else { throw .timedOut }
            guard try receive(from: socket, descriptors: &descriptors) != .endOfFile else { throw .connectionReset }
        }
    }

    /// Moves what is left to the front.
    private mutating func makeRoom() {
        guard start > 0 else { return }
        bytes.move(start..<filled, to: 0)
        lineEnd = lineEnd.map { $0 - start }
        filled -= start
        start = 0
    }

    private func lineEnd(from position: Int) -> Int? {
        bytes.bytes(position..<filled).withUnsafeBytes { $0.firstIndex(of: UInt8(ascii: "\n")) }.map { position + $0 }
    }
}
