import Linux
import VFIO

/// One who can't be the client: the first message is answered with an error.
///
/// It is looked at and not received: descriptors that came with it stay with it, until the socket's lane closes them
/// all.
final class Refused {
    /// How many may be waited for at the same time.
    static let maximum = 16

    let error: Errno
    /// nil when it was answered.
    private var socket: UnixSocket?
    private let loop: EventLoop
    private var token: EventLoop.Token?
    var isDone: Bool { socket == nil }

    /// - Parameter error: EBUSY when another is the client, EACCES for one who may never be.
    init(_ socket: consuming UnixSocket, _ error: Errno, loop: EventLoop) throws(Errno) {
        self.error = error
        self.loop = loop
        token = try loop.watch("refused client", socket.descriptor, for: .readable) { [unowned self] _ in answer() }
        self.socket = consume socket
    }

    deinit {
        if let token { loop.unwatch(token) }
    }

    /// Answers, and ends the connection.
    private func answer() {
        guard let socket = socket.take() else { return }
        if let token { loop.unwatch(token) }
        token = nil
        do throws(Errno) {
            let buffer = try PageBuffer(count: MessageHeader.size)
            // Less than a header: whoever this is speaks no vfio-user, and gets no answer.
            if try socket.peek(into: buffer) == MessageHeader.size {
                let header = MessageHeader(buffer.bytes(0..<MessageHeader.size))
                var reply = buffer.mutableBytes(0..<MessageHeader.size)
                header.reply(error: error.rawValue).write(into: &reply)
                try socket.send(buffer.bytes(0..<MessageHeader.size), within: .zero)
            }
        } catch {
            // The client is gone already.
        }
        socket.shutDown()
    }
}
