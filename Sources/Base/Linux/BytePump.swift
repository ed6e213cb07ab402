import CLinux
import Glibc

/// Carries bytes between a socket by which descriptors may come and one by which none do.
///
/// For a library that receives by `read(2)`: what comes with bytes that are read so, or is never read, the kernel
/// closes on the library's thread, however long that takes. A pump has a thread of its own, and lets go in the socket's
/// ``ClosingLane``.
public enum BytePump {
    /// - Parameter outer: belongs to a lane.
    /// - Returns: a socket that stands for it, from which only bytes come. When either is closed, or ends one
    ///   direction, so is the other.
    public static func start(_ outer: consuming UnixSocket) throws(Errno) -> UnixSocket {
        let pair = try UnixSocket.pair()
        let inner = try ByteStream(pair.first)
        let stream = try ByteStream(outer)
        _ = try Thread(name: "pump", stackSize: 256 << 10) { run(stream, inner) }
        return pair.second
    }

    /// How long the outer peer has for what is left when the inner one has gone.
    private static let patience = Duration.seconds(10)

    private static func run(_ outer: ByteStream, _ inner: ByteStream) {
        var end: Deadline?
        var inward = Way(outer, inner)
        var outward = Way(inner, outer)
        while !inward.isDone || !outward.isDone {
            var entries = [
                pollfd(fd: outer.descriptor.raw, events: inward.inputEvents | outward.outputEvents, revents: 0),
                pollfd(fd: inner.descriptor.raw, events: outward.inputEvents | inward.outputEvents, revents: 0),
            ]
            // One that has hung up tells that again and again.
            if entries[0].events == 0, outward.isDone { entries[0].fd = -1 }
            if entries[1].events == 0, end != nil { entries[1].fd = -1 }
            // Nobody counts this connection any more: a peer that takes nothing must not keep a thread for ever.
            let left = end?.left
            guard left != .zero else { return }
            guard poll(&entries, 2, left.pollTimeout) > 0 else { continue }
            let hangUp = Int16(POLLHUP | POLLERR)
            // Nobody is there to receive any more.
            if entries[0].revents & hangUp != 0 { outward.isDone = true }
            if entries[1].revents & hangUp != 0 {
                inward.isDone = true
                end = end ?? Deadline(after: patience)
            }
            inward.move()
            outward.move()
        }
    }

    /// One direction.
    private struct Way: ~Copyable {
        private let source: ByteStream
        private let target: ByteStream
        private var buffer = [UInt8](repeating: 0, count: 16 << 10)
        /// What is received and not sent yet.
        private var waiting = 0..<0
        var isDone = false

        init(_ source: ByteStream, _ target: ByteStream) {
            self.source = source
            self.target = target
        }

        var inputEvents: Int16 { isDone || !waiting.isEmpty ? 0 : Int16(POLLIN) }
        var outputEvents: Int16 { isDone || waiting.isEmpty ? 0 : Int16(POLLOUT) }

        /// Moves what can be moved without waiting.
        mutating func move() {
            while !isDone {
                switch waiting.isEmpty ? receive() : send() {
                case .bytes: break
                case .blocked: return
                case .ended:
                    isDone = true
                    // What was received has gone before.
                    shutdown(target.descriptor.raw, Int32(SHUT_WR))
                }
            }
        }

        private mutating func receive() -> ByteStream.Transfer {
            let source = source
            var span = buffer.mutableSpan
            var bytes = span.mutableBytes
            let transfer = source.receive(into: &bytes)
            if case .bytes(let count) = transfer { waiting = 0..<count }
            return transfer
        }

        private mutating func send() -> ByteStream.Transfer {
            let range = waiting
            let transfer = target.send(buffer.span.bytes.extracting(range))
            if case .bytes(let count) = transfer { waiting = range.lowerBound + count..<range.upperBound }
            return transfer
        }
    }
}
