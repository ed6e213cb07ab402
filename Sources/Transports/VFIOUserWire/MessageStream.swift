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

    /// How many descriptors may wait with messages: half of what a process has, unless it was given more. So many
    /// only come while a reply is awaited.
    private static let maximumWaiting = 512

    /// How many bytes are received at most while nothing is there: a message of 64 KiB whole, and little of one of 1
    /// MiB, the rest of which may then go elsewhere.
    private static let firstBytes = 96 << 10

    /// How long what was sent before has to be closed, when nothing more may be taken before.
    private static let patienceWithLane = Duration.seconds(1)

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
    @exclusivity(unchecked) private var arriving = ReceivedDescriptors()

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

    // MARK: Receiving

    /// Receives what is there by an event loop, which runs handlers when nothing is.
    public func fill(in loop: EventLoop, isPolling: Bool) throws(Failure) {
        try makeRoom()
        do throws(Errno) {
            let received = try loop.receive(from: socket, isPolling: isPolling) { blocking throws(Errno) in
                try socket.receive(
                    into: buffer, from: end, limit: isEmpty ? Self.firstBytes : .max, descriptors: &arriving,
                    blocking: blocking)
            }
            try note(received, &arriving)
        } catch {
            throw error == .connectionReset ? .endOfFile : .system(error)
        }
    }

    /// Receives what is to come of the ``incomplete`` message as ``fill(in:isPolling:)`` does, but straight into memory
    /// that others may have mapped. The bytes are cut out of the message, which is whole without them.
    ///
    /// - Parameters:
    ///   - offset: where in `memory` the bytes go.
    ///   - count: how many are to come, at least 1.
    /// - Returns: how many have come.
    public func fill(
        _ memory: MappedBytes, at offset: Int, count: Int, in loop: EventLoop, isPolling: Bool
    ) throws(Failure) -> Int {
        try makeRoom()
        do throws(Errno) {
            let received = try loop.receive(from: socket, isPolling: isPolling) { blocking throws(Errno) in
                try socket.receive(
                    into: memory, at: offset, count: count, descriptors: &arriving, blocking: blocking)
            }
            guard case .bytes(let got, let hasDescriptors, let lost) = received else {
                try note(received, &arriving)
                return 0
            }
            shorten(by: got)
            if hasDescriptors || lost { assign(&arriving, isIncomplete: lost, arrivedIn: end..<end) }
            return got
        } catch {
            throw error == .connectionReset ? .endOfFile : .system(error)
        }
    }

    /// Cuts the last bytes that have arrived of the ``incomplete`` message out of it.
    public func cutArrived(_ count: Int) {
        end -= count
        shorten(by: count)
    }

    /// Has the incomplete message say that it has so many bytes less.
    private func shorten(by count: Int) {
        var header = MessageHeader(buffer.bytes(start..<end))
        header.messageSize -= UInt32(count)
        var bytes = buffer.mutableBytes(start..<end)
        header.write(into: &bytes)
    }

    /// Waits until something arrives here or on another stream, and takes what is there on both; or until an eventfd is
    /// signalled.
    ///
    /// - Returns: false when the time ran out.
    public func fill(
        alongside other: MessageStream?, or eventFD: EventFD? = nil, within limit: Duration?
    ) throws(Failure) -> Bool {
        var descriptors = [socket.descriptor.raw]
        if let other { descriptors.append(other.socket.descriptor.raw) }
        if let eventFD { descriptors.append(eventFD.descriptor.raw) }
        let isReady: [Bool]
        do throws(Errno) {
            isReady = try waitReadable(descriptors, within: limit)
        } catch {
            throw .system(error)
        }
        if isReady[0] { try fillAvailable() }
        if let other, isReady[1] { try other.fillAvailable() }
        return isReady.contains(true)
    }

    /// Receives what is there, also from a handler that an event loop runs amid ``fill(in:isPolling:)``.
    ///
    /// - Returns: whether anything was.
    @discardableResult
    public func fillAvailable() throws(Failure) -> Bool {
        try makeRoom()
        var descriptors = ReceivedDescriptors()
        do throws(Errno) {
            let received = try socket.receive(into: buffer, from: end, descriptors: &descriptors, blocking: false)
            try note(received, &descriptors)
            return received != .nothing
        } catch {
            throw error == .connectionReset ? .endOfFile : .system(error)
        }
    }

    /// With no message in hand, moves an incomplete one to the front when it would not fit behind.
    @inline(__always) private func makeRoom() throws(Failure) {
        if start > 0, inHand == start, buffer.count - start < maximumMessage {
            buffer.move(start..<end, to: 0)
            for batch in batches { batch.position -= start }
            (start, end, inHand) = (0, end - start, 0)
        }
        guard end < buffer.count, hasRoomForDescriptors,
            socket.hasRoomForDescriptors(within: Self.patienceWithLane)
        else { throw .overrun }
    }

    /// Takes account of what was received at ``end``.
    ///
    /// - Throws: `.connectionReset` when the peer has closed the connection.
    @inline(__always) private func note(
        _ received: UnixSocket.Received, _ descriptors: inout ReceivedDescriptors
    ) throws(Errno) {
        switch received {
        case .endOfFile: throw .connectionReset
        case .nothing: break
        case .bytes(let count, let hasDescriptors, let lost):
            let chunk = end..<end + count
            end += count
            if hasDescriptors || lost { assign(&descriptors, isIncomplete: lost, arrivedIn: chunk) }
        }
    }

    /// Descriptors belong to the last message that begins in the bytes they came with: the kernel
    /// glues earlier messages without descriptors in front of them and stops behind them.
    private func assign(
        _ descriptors: inout ReceivedDescriptors, isIncomplete: Bool, arrivedIn chunk: Range<Int>
    ) {
        var owner = start
        var position = start
        while position < chunk.upperBound {
            owner = position
            guard end - position >= MessageHeader.size else { break }
            let size = Int(MessageHeader(buffer.bytes(position..<end)).messageSize)
            guard size >= MessageHeader.size else { break }
            position += size
        }
        // A message has its descriptors at one of its bytes. More at others, in a message that never ends, would take
        // every descriptor that this process may have.
        if let batch = batches.last, batch.position == owner {
            batch.isIncomplete = true
            descriptors.removeAll()
            return
        }
        let batch = Batch(position: owner, isIncomplete: isIncomplete)
        swap(&batch.descriptors, &descriptors)
        batches.append(batch)
    }

    @inline(__always) private var hasRoomForDescriptors: Bool {
        batches.isEmpty
            || batches.reduce(0) { $0 + max($1.descriptors.count, 1) } <= Self.maximumWaiting
                - ReceivedDescriptors.capacity
    }

    // MARK: Replies

    /// Receives until the reply to command `id` is there. Commands that arrive meanwhile stay in their
    /// order for ``next()``; other replies are dropped.
    ///
    /// The reply lies behind the message in hand. ``discard(_:)`` takes it out again.
    ///
    /// - Parameter deadline: holds for the whole reply, whatever else the peer sends.
    public func awaitReply(to id: UInt16, until deadline: Deadline) throws(Failure) -> Message {
        // With no message in hand, receiving may move the bytes: what was passed over counts from the start.
        var passed = max(inHand, start) - start
        while true {
            if let reply = try passOver(&passed, upToReply: id) { return reply }
            do throws(Errno) {
                let left = deadline.left
                guard left != .zero, try socket.waitReadable(within: left) else { throw Errno.timedOut }
            } catch {
                throw error == .timedOut ? .timedOut : .system(error)
            }
            try fillAvailable()
        }
    }

    /// Looks through what has arrived since the last time, and drops replies that nobody waits for. Each byte is moved
    /// at most twice, however many there are.
    ///
    /// - Parameter passed: how many bytes from ``start`` on are looked through already.
    /// - Returns: the reply to command `id`; nil when it isn't there.
    private func passOver(_ passed: inout Int, upToReply id: UInt16) throws(Failure) -> Message? {
        var position = start + passed
        // Where the next message goes that is kept.
        var target = position
        defer {
            passed = target - start
            close(target..<position)
        }
        while let message = try message(at: position) {
            let isReply = message.header.type == .reply
            guard !isReply || message.header.id == id else {
                if !batches.isEmpty { batches.removeAll { $0.position == position } }
                position = message.range.upperBound
                continue
            }
            let gap = position - target
            if gap > 0 {
                buffer.move(message.range, to: target)
                for batch in batches where batch.position == position { batch.position = target }
            }
            position = message.range.upperBound
            if isReply {
                close(target + message.range.count..<position)
                position = target
                return Message(header: message.header, range: target..<target + message.range.count)
            }
            target += message.range.count
        }
        return nil
    }

    /// Moves what is behind a range to its beginning.
    private func close(_ gap: Range<Int>) {
        guard !gap.isEmpty else { return }
        buffer.move(gap.upperBound..<end, to: gap.lowerBound)
        end -= gap.count
        for batch in batches where batch.position >= gap.upperBound { batch.position -= gap.count }
    }

    /// Takes a message that is not in hand out of the stream.
    public func discard(_ message: Message) {
        if !batches.isEmpty { batches.removeAll { $0.position == message.range.lowerBound } }
        close(message.range)
    }
}
