import Linux
import VFIO

/// The client's end of a connection, byte for byte: what it sends need not be right.
public final class RawClient {
    public let socket: UnixSocket
    /// Where messages are received.
    public let buffer: PageBuffer
    private let patience: Duration
    private var nextID: UInt16 = 0

    /// The longest message that is received, in bytes.
    private static let maximumMessage = 2 << 20

    /// Connects, and sends nothing.
    ///
    /// - Parameter patience: how long to wait for a message at most.
    public convenience init(path: String, patience: Duration = .seconds(10)) throws(Errno) {
        try self.init(UnixSocket(connectingTo: path), patience: patience)
    }

    /// - Parameter buffer: for what is received, of a client that is gone; nil: a new one.
    public init(
        _ socket: consuming UnixSocket, patience: Duration = .seconds(10), buffer: PageBuffer? = nil
    ) throws(Errno) {
        socket.setTakesDescriptors(true)
        self.socket = socket
        self.patience = patience
        if let buffer { self.buffer = buffer } else { self.buffer = try PageBuffer(count: Self.maximumMessage) }
    }

    // MARK: Sending

    /// Sends bytes as they are.
    ///
    /// - Parameter descriptors: they stay the caller's.
    public func send(_ bytes: [UInt8], descriptors: [Int32] = []) throws(Errno) {
        try socket.send(bytes.span.bytes, descriptors: descriptors, within: patience)
    }

    /// Sends a command.
    ///
    /// - Returns: its message ID.
    @discardableResult
    public func send(
        _ command: Command, _ payload: [UInt8] = [], descriptors: [Int32] = [], flags: MessageHeader.Flags = []
    ) throws(Errno) -> UInt16 {
        nextID &+= 1
        try send(message(command, id: nextID, payload, flags: flags), descriptors: descriptors)
        return nextID
    }

    // MARK: Receiving

    /// A message from the server.
    public struct Message: Sendable {
        public let header: MessageHeader
        public let payload: [UInt8]
        public let files: [OpenFile]

        /// The error that a reply tells; nil when it tells none.
        public var errno: Errno? {
            header.flags.contains(.error) ? Errno(rawValue: Int32(truncatingIfNeeded: header.error)) : nil
        }

        /// A number of the payload.
        public func field<Value: FixedWidthInteger & BitwiseCopyable>(_ type: Value.Type, at offset: Int) -> Value? {
            payload.number(type, at: offset)
        }
    }

    /// Waits for a message.
    ///
    /// - Returns: nil when the server has closed the connection.
    /// - Throws: `.timedOut`, and `.badMessage` for a header that can't be.
    public func receive() throws(Errno) -> Message? {
        var files: [OpenFile] = []
        guard let head = try receive(count: MessageHeader.size, &files) else { return nil }
        let header = MessageHeader(head.span.bytes)
        let size = Int(header.messageSize)
        guard size >= MessageHeader.size, size <= Self.maximumMessage else { throw .badMessage }
        guard let payload = try receive(count: size - MessageHeader.size, &files) else { return nil }
        return Message(header: header, payload: payload, files: files)
    }

    /// The headers of all messages that have come, by as few receives as there can be; what came with them is closed.
    public func receiveHeaders() -> [MessageHeader] {
        var end = 0
        while end < buffer.count {
            var descriptors = ReceivedDescriptors()
            let received = try? socket.receive(into: buffer, from: end, descriptors: &descriptors, blocking: false)
            guard case .bytes(let count, _, _) = received else { break }
            end += count
        }
        var headers: [MessageHeader] = []
        var position = 0
        while end - position >= MessageHeader.size {
            let header = MessageHeader(buffer.bytes(position..<end))
            let size = Int(header.messageSize)
            guard size >= MessageHeader.size, size <= end - position else { break }
            headers.append(header)
            position += size
        }
        return headers
    }

    /// Receives so many bytes and no more: descriptors come with the first byte of their message.
    private func receive(count: Int, _ files: inout [OpenFile]) throws(Errno) -> [UInt8]? {
        let start = buffer.count - count
        var position = start
        while position < buffer.count {
            guard try socket.waitReadable(within: patience) else { throw .timedOut }
            var descriptors = ReceivedDescriptors()
            switch try socket.receive(into: buffer, from: position, descriptors: &descriptors, blocking: false) {
            case .endOfFile: return nil
            case .nothing: break
            case .bytes(let count, _, _): position += count
            }
            for index in 0..<descriptors.count {
                if let descriptor = descriptors.take(index) { files.append(OpenFile(descriptor)) }
            }
        }
        return buffer.bytes(start..<buffer.count).withUnsafeBytes { [UInt8]($0) }
    }

    /// Sends a command and waits for the next message.
    ///
    /// - Throws: `.connectionReset` when the server closes the connection instead.
    public func call(
        _ command: Command, _ payload: [UInt8] = [], descriptors: [Int32] = []
    ) throws(Errno) -> Message {
        try send(command, payload, descriptors: descriptors)
        guard let reply = try receive() else { throw .connectionReset }
        return reply
    }

    /// What QEMU offers.
    public static let offer = """
        {"capabilities":{"max_msg_fds":16,"max_data_xfer_size":1048576,"max_dma_maps":65535,"pgsizes":4096,\
        "write_multiple":true,"migration":{"pgsize":4096,"max_bitmap_size":268435456}}}
        """

    /// Agrees on a version.
    @discardableResult
    public func negotiate(_ offer: String = offer) throws(Errno) -> Message {
        try call(.version, Self.version(offer))
    }

    /// The payload of a version message.
    public static func version(_ offer: String) -> [UInt8] {
        wire(UInt16(0), UInt16(0)) + Array(offer.utf8) + [0]
    }
}

/// A descriptor that came with a message.
public final class OpenFile: Sendable {
    public let descriptor: Descriptor

    init(_ descriptor: consuming Descriptor) {
        self.descriptor = descriptor
    }
}
