import Linux

/// One peer of the control socket: the line that is coming in, and the reply that is going out. Never both, and
/// neither ever blocks.
final class ControlConnection {
    /// The peer has gone, or has sent what no peer of good will sends.
    struct Ended: Error {}

    let socket: UnixSocket
    var token: EventLoop.Token?
    /// The request whose answer is held back.
    var held: ControlRequest?
    /// What it is there for, by what it has asked.
    var kind = Kind.asking

    enum Kind {
        /// Each question has an answer at once.
        case asking
        /// It waits for events most of the time.
        case listening
        /// It watches what passes, until it is closed.
        case tracing
        /// It records all of it, until it is closed or the recording has ended: never more than one connection.
        case recording
    }

    private var incoming: LineBuffer
    private var outgoing: [UInt8] = []
    private var sent = 0
    /// What goes with the first byte of ``outgoing``.
    private var attachment: MemoryFile?
    private var bells: [EventFD] = []
    private var endsAfterReply = false

    init(_ socket: consuming UnixSocket) throws(Errno) {
        self.socket = socket
        incoming = try LineBuffer(limit: ControlServer.lineLimit)
    }

    // MARK: Requests

    /// Whether a whole line has arrived.
    var hasRequest: Bool { incoming.hasLine }

    /// Takes the next line, from what has arrived if there is one, else from what is there to receive.
    ///
    /// - Returns: nil while there is no whole line; else the request, or why the line is none.
    func receive() throws(Ended) -> Result<ControlRequest, ControlError>? {
        if !incoming.hasLine { try fill() }
        guard let line = incoming.takeLine() else {
            guard incoming.isFull else { return nil }
            endsAfterReply = true
            return .failure(ControlError(.malformed, "The request is longer than \(incoming.limit) bytes."))
        }
        return Result { () throws(ControlError) in try ControlRequest(line: line) }
    }

    private func fill() throws(Ended) {
        // Nothing that comes here needs descriptors: at the end of this function they go where they are closed.
        guard socket.hasRoomForDescriptors() else { throw Ended() }
        var descriptors = ReceivedDescriptors()
        do throws(Errno) {
            guard try incoming.receive(from: socket, descriptors: &descriptors) != .endOfFile else {
                throw Errno.brokenPipe
            }
        } catch {
            throw Ended()
        }
    }

    // MARK: Replies

    /// Whether a reply still has bytes to go.
    var isSending: Bool { sent < outgoing.count }

    /// Begins to send a reply.
    func send(_ reply: ControlReply) throws(Ended) {
        outgoing = Array(reply.json.text.utf8) + [UInt8(ascii: "\n")]
        sent = 0
        attachment = reply.attachment
        bells = reply.bells
        try send()
    }

    /// Sends what the peer has room for.
    func send() throws(Ended) {
        let outgoing = outgoing
        do throws(Errno) {
            let left = outgoing.span.bytes.extracting(droppingFirst: sent)
            let descriptors = (attachment.map { [$0.descriptor.raw] } ?? []) + bells.map { $0.descriptor.raw }
            sent += try socket.sendAvailable(left, descriptors: descriptors)
        } catch {
            throw Ended()
        }
        if sent > 0 { (attachment, bells) = (nil, []) }
        guard !isSending else { return }
        self.outgoing = []
        sent = 0
        if endsAfterReply { throw Ended() }
    }
}
