import CLinux

/// The 16 bytes that begin every message. `struct vfio_user_header`; vfio-user specification, "Header".
public struct MessageHeader: Equatable, Sendable {
    /// In bytes.
    public static let size = MemoryLayout<vfio_user_header>.size

    /// Chosen by the sender of a command, echoed in its reply.
    public var id: UInt16
    /// A ``Command``, or a number that nobody knows.
    public var command: UInt16
    /// The whole message in bytes, this header included.
    public var messageSize: UInt32
    public var flags: Flags
    /// An errno value; meaningful in a reply with ``Flags/error``.
    public var error: UInt32

    public struct Flags: OptionSet, Sendable {
        public let rawValue: UInt32
        @inlinable public init(rawValue: UInt32) { self.rawValue = rawValue }
        /// The message is a reply. All four type bits of a command are clear.
        @inlinable public static var reply: Flags { Flags(rawValue: 1) }
        /// The sender of the command wants no reply.
        @inlinable public static var noReply: Flags { Flags(rawValue: 1 << 4) }
        /// The command failed.
        @inlinable public static var error: Flags { Flags(rawValue: 1 << 5) }
        /// The four bits that tell the type.
        @inlinable public static var typeMask: Flags { Flags(rawValue: 0xf) }
    }

    /// Whether the message is a command, a reply, or neither.
    @inlinable public var type: Kind? {
        switch flags.intersection(.typeMask) {
        case []: .command
        case .reply: .reply
        default: nil
        }
    }

    public enum Kind: Sendable {
        case command, reply
    }

    /// Header of a command.
    public init(_ command: Command, id: UInt16, payload: Int, flags: Flags = []) {
        self.init(
            id: id, command: command.rawValue, messageSize: UInt32(truncatingIfNeeded: Self.size + payload),
            flags: flags, error: 0)
    }

    /// Header of the reply to this command.
    ///
    /// - Parameters:
    ///   - payload: bytes that follow; none after an error.
    ///   - error: an errno value, or 0 when all went well.
    @inlinable public func reply(payload: Int = 0, error: Int32 = 0) -> MessageHeader {
        MessageHeader(
            id: id, command: command, messageSize: UInt32(truncatingIfNeeded: Self.size + (error == 0 ? payload : 0)),
            flags: error == 0 ? .reply : [.reply, .error], error: UInt32(bitPattern: error))
    }

    @inlinable init(id: UInt16, command: UInt16, messageSize: UInt32, flags: Flags, error: UInt32) {
        self.id = id
        self.command = command
        self.messageSize = messageSize
        self.flags = flags
        self.error = error
    }

    /// Reads the header at `offset`, where at least ``size`` bytes must be.
    @inlinable
    public init(_ bytes: RawSpan, at offset: Int = 0) {
        let wire = bytes.unsafeLoadUnaligned(fromByteOffset: offset, as: vfio_user_header.self)
        id = wire.id
        command = wire.command
        messageSize = wire.size
        flags = Flags(rawValue: wire.flags)
        error = wire.error
    }

    /// Writes the header at the beginning of `bytes`.
    @inlinable
    public func write(into bytes: inout MutableRawSpan) {
        let wire = vfio_user_header(
            id: id, command: command, size: messageSize, flags: flags.rawValue, error: error)
        bytes.storeBytes(of: wire, toByteOffset: 0, as: vfio_user_header.self)
    }
}
