import Linux
import VFIO

/// A client that says whatever a test wants, right or wrong, byte for byte.
public final class RawClient {
    private let socket: UnixSocket
    private let buffer: PageBuffer
    private var arrived: [UInt8] = []
    private var nextID: UInt16 = 0
    /// Lives as long as its client.
    private let server: ServedDevice?

    /// How long to wait for a server, in milliseconds.
    private static let patience: Int32 = 10_000

    public init(path: String, server: ServedDevice? = nil) throws {
        self.server = server
        socket = try UnixSocket(connectingTo: path)
        buffer = try PageBuffer(count: 2 << 20)
    }

    /// What QEMU offers in its version message.
    public static let qemuOffer =
        #"{"capabilities":{"max_msg_fds":16,"max_data_xfer_size":1048576,"max_dma_maps":65535,"pgsizes":4096,"#
        + #""write_multiple":true,"migration":{"pgsize":4096,"max_bitmap_size":268435456}}}"#

    /// A reply taken apart.
    public struct Reply: Equatable {
        public var id: UInt16
        public var command: UInt16
        public var isError: Bool
        /// nil unless the reply is an error.
        public var errno: Errno?
        public var payload: [UInt8]
        public var descriptorCount: Int
    }

    // MARK: Sending

    /// Sends bytes and descriptors as they are.
    public func send(_ bytes: [UInt8], descriptors: [Int32] = []) throws {
        try socket.send(bytes.span.bytes, descriptors: descriptors, milliseconds: Self.patience)
    }

    /// The bytes of a message.
    public static func message(
        _ command: UInt16, id: UInt16 = 1, flags: UInt32 = 0, payload: [UInt8] = [], size: UInt32? = nil
    ) -> [UInt8] {
        bytes(id) + bytes(command) + bytes(size ?? UInt32(16 + payload.count)) + bytes(flags) + bytes(UInt32(0))
            + payload
    }

    /// A number as it stands in a message.
    public static func bytes<Number: FixedWidthInteger>(_ number: Number) -> [UInt8] {
        withUnsafeBytes(of: number.littleEndian) { Array($0) }
    }

    /// Sends a command and returns its reply.
    public func call(_ command: Command, _ payload: [UInt8] = [], descriptors: [Int32] = []) throws -> Reply {
        try call(command.rawValue, payload, descriptors: descriptors)
    }

    public func call(
        _ command: UInt16, _ payload: [UInt8] = [], flags: UInt32 = 0, descriptors: [Int32] = []
    ) throws -> Reply {
        nextID &+= 1
        try send(Self.message(command, id: nextID, flags: flags, payload: payload), descriptors: descriptors)
        return try receive()
    }

    /// Agrees on a version.
    @discardableResult
    public func negotiate(_ offer: String = RawClient.qemuOffer) throws -> Reply {
        try call(.version, Self.bytes(UInt16(0)) + Self.bytes(UInt16(0)) + Array(offer.utf8) + [0])
    }

    /// Closes the connection, as a client does that exits.
    public func leave() throws {
        socket.shutDown()
    }

    // MARK: Receiving

    /// The next message that the server sends. Its descriptors are counted and closed.
    ///
    /// - Throws: `.connectionReset` at the end of the connection, `.timedOut` when nothing comes.
    public func receive() throws -> Reply {
        var descriptorCount = 0
        while true {
            if arrived.count >= 16 {
                let header = MessageHeader(arrived.span.bytes)
                let size = Int(header.messageSize)
                if size >= 16, arrived.count >= size {
                    let payload = Array(arrived[16..<size])
                    arrived.removeFirst(size)
                    let isError = header.flags.contains(.error)
                    return Reply(
                        id: header.id, command: header.command, isError: isError,
                        errno: isError ? Errno(rawValue: Int32(header.error)) : nil, payload: payload,
                        descriptorCount: descriptorCount)
                }
            }
            guard try socket.waitReadable(milliseconds: Self.patience) else { throw Errno.timedOut }
            var descriptors = ReceivedDescriptors()
            switch try socket.receive(into: buffer, from: 0, descriptors: &descriptors, blocking: false) {
            case .bytes(let count, _, _):
                let bytes = buffer.bytes(0..<count)
                for index in 0..<count { arrived.append(bytes.unsafeLoad(fromByteOffset: index, as: UInt8.self)) }
                descriptorCount += descriptors.count
            case .endOfFile: throw Errno.connectionReset
            case .nothing: continue
            }
        }
    }

    /// Whether the server has closed the connection, or does so without sending more.
    public func isClosedByServer() throws -> Bool {
        do {
            _ = try receive()
            return false
        } catch let error as Errno where error == .connectionReset || error == .brokenPipe {
            return true
        }
    }
}
