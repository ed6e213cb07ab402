import Linux
import VFIO
import VFIOUserWire

/// What a command answers: bytes that it has put into its session's ``ReplySender``, and what goes with them.
struct Reply {
    enum Attachment {
        case none
        case descriptors([Int32])
        /// Bytes that follow the payload straight from memory.
        case memory(MappedBytes, offset: Int, count: Int)
    }

    /// How many bytes of ``ReplySender/payloadBytes()`` it has.
    let payload: Int
    var attachment = Attachment.none
}

/// Sends a session's replies, each from the same buffer.
final class ReplySender {
    private let stream: MessageStream
    private let buffer: PageBuffer
    /// How many descriptors went with replies since the client had received all.
    private var untakenDescriptors = 0

    /// - Parameter stream: the session's, whose socket the replies take.
    init(_ stream: MessageStream) throws(Errno) {
        self.stream = stream
        buffer = try PageBuffer(count: Session.maximumMessage)
    }

    /// Where a command puts the payload of its reply. As in ``PageBuffer``, the span is bound to nothing: it ends with
    /// the command.
    @_lifetime(immortal)
    func payloadBytes() -> MutableRawSpan {
        buffer.mutableBytes(MessageHeader.size..<buffer.count)
    }

    /// Answers a command that was carried out.
    ///
    /// - Parameter limit: how long the client may take to make room; then its connection ends.
    /// - Throws: ETOOMANYREFS, before anything is sent, when the client leaves too many descriptors in its socket;
    ///   `Session.End` when it can't be reached.
    func send(_ reply: Reply, to command: MessageHeader, within limit: Duration) throws {
        var size = reply.payload
        switch reply.attachment {
        case .none: break
        case .descriptors(let descriptors): try count(descriptors)
        case .memory(_, _, let count): size += count
        }
        let message = message(command.reply(payload: size), payload: reply.payload)
        do throws(Errno) {
            switch reply.attachment {
            case .none:
                try stream.socket.send(message, within: limit)
            case .descriptors(let descriptors):
                try stream.socket.send(message, descriptors: descriptors, within: limit)
            case .memory(let memory, let offset, let count):
                try stream.socket.send(message, memory, at: offset, count: count, within: limit)
            }
        } catch {
            throw lose(error)
        }
    }

    /// Answers a command that was refused.
    ///
    /// - Parameter limit: as above.
    func send(_ refusal: Errno, to command: MessageHeader, within limit: Duration) throws(Session.End) {
        let message = message(command.reply(error: refusal.rawValue), payload: 0)
        do throws(Errno) {
            try stream.socket.send(message, within: limit)
        } catch {
            throw lose(error)
        }
    }

    @_lifetime(immortal)
    private func message(_ header: MessageHeader, payload: Int) -> RawSpan {
        var head = buffer.mutableBytes(0..<MessageHeader.size)
        header.write(into: &head)
        return buffer.bytes(0..<MessageHeader.size + payload)
    }

    private func count(_ descriptors: [Int32]) throws(Errno) {
        if try !stream.socket.hasUnread() { untakenDescriptors = 0 }
        guard descriptors.count <= Untaken.maximumDescriptors - untakenDescriptors else { throw .tooManyReferences }
        untakenDescriptors += descriptors.count
    }

    private func lose(_ error: Errno) -> Session.End {
        // Also when the reply was held back, and nobody hears of the error.
        stream.socket.shutDown()
        return .sending(error)
    }
}
