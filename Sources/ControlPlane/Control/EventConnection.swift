import JSON
import Linux

/// The other end of a device process's control socket for one who has many to listen to, and an ``EventLoop`` to do it
/// in: it asks for events, one answer at a time, and nothing it does ever waits.
///
/// What the process can take of its listener is bounded: an answer has at most ``replyLimit`` bytes, of which each call
/// takes what is there, once. To read an answer is for whoever has the time (``events(in:)``).
public final class EventConnection {
    /// The connection has ended, or the process has sent what no process of good will sends.
    public enum Ended: Error, Equatable {
        /// The process has closed it: of too many who wait it drops the one that has waited longest. Or the kernel has
        /// no memory for what goes over it just now. Another connection may do better.
        case closed
        /// The answer is too long, or can't be received.
        case failed
    }

    /// The longest answer, in bytes: each event has a message, of which JSON may write each byte as six, and less than
    /// 256 bytes beside it.
    public static let replyLimit = EventLog.capacity * (6 * EventLog.messageLimit + 256)
    /// The most values in an answer, which take far more memory than their text: an event has five, and a later version
    /// may know of more.
    private static let valueLimit = 8 * EventLog.capacity

    private let socket: UnixSocket
    private var incoming: LineBuffer
    private var outgoing: [UInt8] = []
    private var sent = 0

    /// What to watch: for ``isSending`` or for what arrives.
    public var descriptor: Descriptor {
        _read { yield socket.descriptor }
    }

    /// - Throws: as `UnixSocket`'s `init(connectingAtOnceTo:)`; `mmap(2)`'s error.
    public init(connectingTo path: String) throws(Errno) {
        socket = try UnixSocket(connectingAtOnceTo: path)
        incoming = try LineBuffer(limit: Self.replyLimit)
    }

    /// Whether a question still has bytes to go.
    public var isSending: Bool { sent < outgoing.count }

    /// Asks for the events behind a number: answered when there is one. The answer to the last question must have come.
    public func ask(after number: Int) throws(Ended) {
        outgoing = Array(ControlRequest.events(after: number).json.text.utf8) + [UInt8(ascii: "\n")]
        sent = 0
        try send()
    }

    /// Sends what there is room for.
    public func send() throws(Ended) {
        let outgoing = outgoing
        do throws(Errno) {
            sent += try socket.sendAvailable(outgoing.span.bytes.extracting(droppingFirst: sent))
        } catch {
            throw Ended(error)
        }
    }

    /// Takes the answer, from what has arrived if it is in there, else from what is there to receive.
    ///
    /// - Returns: nil while it isn't there whole.
    public func receive() throws(Ended) -> [UInt8]? {
        if let line = incoming.takeLine() { return line }
        guard !incoming.isFull, socket.hasRoomForDescriptors() else { throw .failed }
        // Nothing that comes here needs descriptors: at the end of this function they go where they are closed.
        var descriptors = ReceivedDescriptors()
        do throws(Errno) {
            guard try incoming.receive(from: socket, descriptors: &descriptors) != .endOfFile else {
                throw Errno.connectionReset
            }
        } catch {
            throw Ended(error)
        }
        return incoming.takeLine()
    }

    /// The events that an answer holds.
    ///
    /// - Throws: ``ControlClientError`` when it holds none.
    public static func events(in answer: [UInt8]) throws(ControlClientError) -> ControlEvents {
        let result = try ControlReply.result(of: answer, valueLimit: valueLimit)
        do throws(JSONError) { return try result.decode() } catch { throw .malformedReply("\(error)") }
    }
}

extension EventConnection.Ended {
    fileprivate init(_ error: Errno) {
        switch error {
        case .brokenPipe, .connectionReset, .noMemory, .noBufferSpace: self = .closed
        default: self = .failed
        }
    }
}
