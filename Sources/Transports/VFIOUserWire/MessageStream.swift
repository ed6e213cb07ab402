import Linux
import VFIO

/// Takes the bytes that arrive on a socket apart into messages, whatever pieces they come in.
///
/// One receive takes all that is there, so that a busy peer costs less than one system call a message.
/// The message in hand stays where it is until ``consume(_:)``, also while ``awaitReply(to:until:)``
/// receives more behind it.
///
/// What is called for each message is inlinable: calls into this module would cost a server 150 instructions more. Only
/// what is public is inlined across modules; all of this module is for the two ends alone.
public final class MessageStream {
    /// Why no further message can be had.
    public enum Failure: Error, Equatable {
        /// The peer closed the connection.
        case endOfFile
        /// A header says that its message has `size` bytes. Where the next one begins can't be known.
        case messageSize(MessageHeader, maximum: Int)
        /// More than the buffer holds, or more descriptors than may wait, arrived while a reply was awaited; or so many
        /// that were sent before are still to be closed (``ClosingLane``).
        case overrun
        /// The peer did not answer in time.
        case timedOut
        case system(Errno)

        public var errno: Errno {
            switch self {
            case .endOfFile: .connectionReset
            case .messageSize: .badMessage
            case .overrun: .noBufferSpace
            case .timedOut: .timedOut
            case .system(let errno): errno
            }
        }
    }

    /// One message in the buffer.
    public struct Message {
        public let header: MessageHeader
        /// The whole message.
        @usableFromInline let range: Range<Int>

        @inlinable init(header: MessageHeader, range: Range<Int>) {
            self.header = header
            self.range = range
        }
    }

    /// Descriptors and the message they came with.
    @usableFromInline final class Batch {
        @usableFromInline var position: Int
        var descriptors = ReceivedDescriptors()
        /// Some had to be dropped.
        @usableFromInline var isIncomplete: Bool

        init(position: Int, isIncomplete: Bool) {
            self.position = position
            self.isIncomplete = isIncomplete
        }
    }

    public let socket: UnixSocket
    @usableFromInline let buffer: PageBuffer
    @usableFromInline let maximumMessage: Int

    // One thread, and what is called during an access to one of these knows nothing of this stream: checks at
    // run time, several for each message, would find nothing.
    /// The first byte that is not consumed, and the end of what has arrived.
    @exclusivity(unchecked) @usableFromInline var start = 0
    @exclusivity(unchecked) @usableFromInline var end = 0
    /// The end of the message in hand; ``start`` while there is none.
    @exclusivity(unchecked) @usableFromInline var inHand = 0
    /// In the order of their positions. Empty but for messages that carry descriptors.
    @exclusivity(unchecked) @usableFromInline var batches: [Batch] = []
    /// Where an event loop puts descriptors. Not for what its handlers receive.
    @exclusivity(unchecked) var arriving = ReceivedDescriptors()

    /// - Parameter maximumMessage: in bytes, header included. A longer one is an error.
    public init(_ socket: consuming UnixSocket, maximumMessage: Int) throws(Errno) {
        self.socket = socket
        self.maximumMessage = maximumMessage
        // Room for a message in hand, a reply awaited meanwhile, and what else comes with them.
        buffer = try PageBuffer(count: 3 * maximumMessage)
    }

    // MARK: Messages

    /// The next message that has arrived whole; nil when more must be received first. It is in hand
    /// until ``consume(_:)``.
    @inlinable public func next() throws(Failure) -> Message? {
        guard let message = try message(at: start) else { return nil }
        inHand = message.range.upperBound
        return message
    }

    /// Whether nothing has arrived that isn't consumed.
    @inlinable public var isEmpty: Bool { start == end }

    /// What has arrived of a message that is not there whole, once ``next()`` has found none; nil when that is less
    /// than a header.
    public var incomplete: Message? {
        guard end - start >= MessageHeader.size else { return nil }
        return Message(header: MessageHeader(buffer.bytes(start..<end)), range: start..<end)
    }

    /// Whether bytes have arrived behind a message.
    @inlinable public func hasMore(behind message: Message) -> Bool {
        end > message.range.upperBound
    }

    /// What follows the message's header. Valid until the message is consumed: bytes in hand are never moved.
    @inlinable @_lifetime(immortal)
    public func payload(of message: Message) -> RawSpan {
        buffer.bytes(message.range.lowerBound + MessageHeader.size..<message.range.upperBound)
    }

    /// A message with its header. Valid until the message is consumed.
    @_lifetime(immortal)
    public func bytes(of message: Message) -> RawSpan { buffer.bytes(message.range) }

    /// All that has arrived and isn't consumed. Valid until something is received or consumed.
    public var unconsumed: RawSpan {
        @_lifetime(immortal) get { buffer.bytes(start..<end) }
    }

    /// Forgets all that has arrived and isn't consumed, and the descriptors that came with it.
    public func removeAll() {
        (start, end, inHand) = (0, 0, 0)
        batches = []
    }

    /// Whether any descriptors are there, with whatever message, or were.
    @inlinable public var hasDescriptors: Bool { !batches.isEmpty }

    /// Whether descriptors came with a message that nobody has taken.
    @inlinable public func hasDescriptors(_ message: Message) -> Bool {
        !batches.isEmpty && batches.contains { $0.position == message.range.lowerBound }
    }

    /// Hands over the descriptors that came with a message.
    public func takeDescriptors(of message: Message) -> ReceivedDescriptors {
        guard !batches.isEmpty, let index = batches.firstIndex(where: { $0.position == message.range.lowerBound })
        else { return ReceivedDescriptors() }
        let batch = batches.remove(at: index)
        var taken = ReceivedDescriptors()
        swap(&taken, &batch.descriptors)
        return taken
    }

    /// Of which kinds the descriptors are that came with a message: see `ReceivedDescriptors.kinds()`.
    public func descriptorKinds(of message: Message) -> String {
        batches.first { $0.position == message.range.lowerBound }?.descriptors.kinds() ?? ""
    }

    /// Hands over the descriptors of the first message that isn't consumed, whole or not.
    public func takeDescriptors() -> ReceivedDescriptors {
        var taken = ReceivedDescriptors()
        if let first = batches.first, first.position == start { swap(&taken, &first.descriptors) }
        return taken
    }

    /// Whether descriptors of a message had to be dropped: it had too many, or this process has.
    @inlinable public func lacksDescriptors(_ message: Message) -> Bool {
        !batches.isEmpty && batches.contains { $0.position == message.range.lowerBound && $0.isIncomplete }
    }

    /// Gives up the message in hand; what is left of its descriptors is closed.
    @inlinable public func consume(_ message: Message) {
        start = message.range.upperBound
        inHand = start
        if start == end { (start, end, inHand) = (0, 0, 0) }
        if !batches.isEmpty { batches.removeAll { $0.position == message.range.lowerBound } }
    }

    @inlinable func message(at position: Int) throws(Failure) -> Message? {
        guard end - position >= MessageHeader.size else { return nil }
        let header = MessageHeader(buffer.bytes(position..<end))
        guard header.messageSize >= UInt32(MessageHeader.size), header.messageSize <= UInt32(maximumMessage) else {
            throw .messageSize(header, maximum: maximumMessage)
        }
        guard end - position >= Int(header.messageSize) else { return nil }
        return Message(header: header, range: position..<position + Int(header.messageSize))
    }
}
