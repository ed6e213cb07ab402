import GuestMemory
import Linux
import VFIO
import VFIOUserWire

/// Guest memory that came without a descriptor: its bytes travel in VFIO_USER_DMA_READ and VFIO_USER_DMA_WRITE
/// messages, over the twin socket when there is one.
final class MessageDMA: RemoteMemory {
    /// The client's `max_data_xfer_size`, in bytes; longer accesses take several messages.
    var maximumTransfer = 1 << 20
    private(set) var bytesRead: UInt64 = 0
    private(set) var bytesWritten: UInt64 = 0

    private let main: MessageStream
    private let lane: ClosingLane
    private var twin: MessageStream?
    private var theirEnd: UnixSocket?
    private var nextID: UInt16 = 0
    private let patience: Duration
    /// Until when the client has time for all that is asked of it in this turn; nil while nothing was asked.
    private var deadline: Deadline?
    private var isClosed = false
    /// The command that is sent, but for its data.
    private let request: PageBuffer

    /// - Parameter lane: where what the client sends is closed.
    init(_ main: MessageStream, patience: Duration, closedIn lane: ClosingLane) throws(Errno) {
        self.main = main
        self.lane = lane
        request = try PageBuffer(count: MessageHeader.size + DMATransfer.size)
        self.patience = patience
    }

    /// Opens a socket for the server's commands.
    ///
    /// - Returns: the client's end, for the reply; open until ``close()``.
    func openTwinSocket() throws(Errno) -> Int32 {
        let pair = try UnixSocket.pair(closedIn: lane)
        let raw = pair.second.descriptor.raw
        twin = try MessageStream(pair.first, maximumMessage: Session.maximumMessage)
        theirEnd = consume pair.second
        return raw
    }

    /// Whether the client was asked for anything in this turn.
    var hasAsked: Bool { deadline != nil }

    /// How much time the client has left in this turn.
    var timeLeft: Duration { deadline?.left ?? patience }

    /// Gives the client its time anew: a message, or an event, is about to make the device ask.
    func beginTurn() {
        deadline = nil
    }

    /// No message goes out any more: accesses fail.
    func close() {
        isClosed = true
        twin = nil
        theirEnd = nil
    }

    // MARK: RemoteMemory

    func read(_ address: UInt64, into target: inout MutableRawSpan) throws(DMAError) {
        var done = 0
        while done < target.byteCount {
            let count = min(target.byteCount - done, maximumTransfer)
            let transfer = DMATransfer(address: address &+ UInt64(done), count: UInt64(count))
            let stream = stream
            let reply = try exchange(.dmaRead, transfer, data: RawSpan(), on: stream)
            defer { stream.discard(reply) }
            let payload = stream.payload(of: reply)
            guard (try? DMATransfer(withData: payload)) == transfer else {
                throw .remote(address: transfer.address, .badMessage)
            }
            let data = payload.extracting(droppingFirst: DMATransfer.size)
            target.copy(data, to: done)
            bytesRead &+= transfer.count
            done += count
        }
    }

    func write(_ address: UInt64, from source: RawSpan) throws(DMAError) {
        var done = 0
        while done < source.byteCount {
            let count = min(source.byteCount - done, maximumTransfer)
            let transfer = DMATransfer(address: address &+ UInt64(done), count: UInt64(count))
            let stream = stream
            let reply = try exchange(
                .dmaWrite, transfer, data: source.extracting(done..<done + count), on: stream)
            defer { stream.discard(reply) }
            guard (try? DMATransfer(writeReply: stream.payload(of: reply))) == transfer else {
                throw .remote(address: transfer.address, .badMessage)
            }
            bytesWritten &+= transfer.count
            done += count
        }
    }

    private var stream: MessageStream { twin ?? main }

    /// Sends a command and waits for its reply, which must be discarded.
    private func exchange(
        _ command: Command, _ transfer: DMATransfer, data: RawSpan, on stream: MessageStream
    ) throws(DMAError) -> MessageStream.Message {
        guard !isClosed else { throw .remote(address: transfer.address, .socketNotConnected) }
        let deadline = deadline ?? Deadline(after: patience)
        self.deadline = deadline
        let left = deadline.left
        guard left != .zero else { throw .remote(address: transfer.address, .timedOut) }
        nextID &+= 1
        let size = MessageHeader.size + DMATransfer.size
        var head = request.mutableBytes(0..<size)
        MessageHeader(command, id: nextID, payload: DMATransfer.size + data.byteCount).write(into: &head)
        var body = head._mutatingExtracting(MessageHeader.size..<size)
        transfer.write(into: &body)
        let reply: MessageStream.Message
        do throws(Errno) {
            try stream.socket.send(request.bytes(0..<size), data, within: left)
        } catch {
            // Whoever takes no commands can't be served.
            main.socket.shutDown()
            throw .remote(address: transfer.address, error)
        }
        do throws(MessageStream.Failure) {
            reply = try stream.awaitReply(to: nextID, until: deadline)
        } catch {
            throw .remote(address: transfer.address, error.errno)
        }
        guard !reply.header.flags.contains(.error) else {
            let errno = Int32(truncatingIfNeeded: reply.header.error)
            stream.discard(reply)
            throw .remote(address: transfer.address, errno > 0 ? Errno(rawValue: errno) : .ioError)
        }
        return reply
    }
}
