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

    /// Receives what is there, as far as `buffer` has room. `read(2)`
    ///
    /// - Parameters:
    ///   - buffer: not empty.
    ///   - limit: the most bytes to receive, at least 1; as many as fit unless given.
    public func receive(into buffer: inout MutableRawSpan, limit: Int = .max) -> Transfer {
        buffer.withUnsafeMutableBytes { buffer in
            // SAFETY: the bytes live until the call returns.
            outcome { () throws(Errno) in try descriptor.read(into: .init(rebasing: buffer.prefix(limit))) }
        }
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
