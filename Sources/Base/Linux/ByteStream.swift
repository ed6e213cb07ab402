import CLinux
import Glibc

/// A stream of bytes to a peer that never blocks: a connected socket, or the master of a pseudo-terminal.
public final class ByteStream: Sendable {
    public let descriptor: Descriptor
    private let isSocket: Bool

    /// Takes over a connected socket and makes it non-blocking.
    public init(_ socket: consuming UnixSocket) throws(Errno) {
        try socket.descriptor.setNonblocking(true)
        descriptor = socket.descriptor
        isSocket = true
    }

    /// Takes over a terminal that is non-blocking already.
    init(terminal: consuming Descriptor) {
        descriptor = terminal
        isSocket = false
    }

    /// What came of one attempt to move bytes.
    public enum Transfer: Equatable, Sendable {
        /// So many bytes went through, at least 1.
        case bytes(Int)
        /// None can go through now.
        case blocked
        /// None will ever go through again: the peer has left.
        case ended
    }

    /// Receives what is there, as far as `buffer` has room. Descriptors that come along are closed in the socket's
    /// lane. `recvmsg(2)`, `read(2)`
    ///
    /// - Parameters:
    ///   - buffer: not empty.
    ///   - limit: the most bytes to receive, at least 1; as many as fit unless given.
    public func receive(into buffer: inout MutableRawSpan, limit: Int = .max) -> Transfer {
        // A peer whose descriptors can't be closed as fast as they come is not listened to any more.
        guard descriptor.lane?.hasRoom ?? true else { return .ended }
        return buffer.withUnsafeMutableBytes { buffer in
            // SAFETY: the bytes live until the call returns.
            let room = UnsafeMutableRawBufferPointer(rebasing: buffer.prefix(limit))
            return outcome { () throws(Errno) in
                // read(2) would have the kernel close descriptors, on this thread.
                isSocket ? try Self.receive(into: room, from: descriptor) : try descriptor.read(into: room)
            }
        }
    }

    private static func receive(
        into buffer: UnsafeMutableRawBufferPointer, from descriptor: borrowing Descriptor
    ) throws(Errno) -> Int {
        let (raw, lane) = (descriptor.raw, descriptor.lane)
        return try shim(
            withUnsafeTemporaryAllocation(of: Int32.self, capacity: ReceivedDescriptors.kernelMaximum) { room in
                var count = 0
                var lost: Int32 = 0
                // SAFETY: the pointers are used during the call only.
                let got = clinux_receive(raw, buffer.baseAddress, buffer.count, 0, room.baseAddress!, &count, &lost)
                for stray in room[..<count] { _ = Descriptor(owning: stray, closedIn: lane) }
                return got
            })
    }

    /// Sends as many of `bytes` as the peer has room for. `send(2)`, `write(2)`
    ///
    /// - Parameter bytes: not empty.
    public func send(_ bytes: RawSpan) -> Transfer {
        bytes.withUnsafeBytes { bytes in
            outcome { () throws(Errno) in
                // SAFETY: the bytes live until the call returns. Only send(2) can do without SIGPIPE.
                isSocket
                    ? try shim(clinux_send(descriptor.raw, bytes.baseAddress, bytes.count, nil, 0, 0, nil, 0))
                    : try descriptor.write(bytes)
            }
        }
    }

    /// Ends both directions of a socket, so that the peer hears of it at once, whenever the close may come.
    /// `shutdown(2)`
    public func shutDown() {
        if isSocket { shutdown(descriptor.raw, Int32(SHUT_RDWR)) }
    }

    /// Every failure but these two is the end: ECONNRESET and EPIPE of a socket, EIO of a terminal
    /// that nobody has open.
    private func outcome(_ call: () throws(Errno) -> Int) -> Transfer {
        do throws(Errno) {
            let count = try call()
            return count > 0 ? .bytes(count) : .ended
        } catch {
            return error == .resourceTemporarilyUnavailable || error == .interrupted ? .blocked : .ended
        }
    }
}
