import CLinux
import Glibc

/// A connected AF_UNIX stream socket that carries bytes and descriptors. `unix(7)`
public struct UnixSocket: ~Copyable, Sendable {
    public let descriptor: Descriptor

    public init(owning descriptor: consuming Descriptor) {
        self.descriptor = descriptor
    }

    /// Connects to the socket at `path`. Its peer can't send descriptors until ``setTakesDescriptors(_:)`` says so.
    ///
    /// - Parameter limit: how long to wait at most while the listener's backlog is full; nil: without end.
    /// - Throws: `connect(2)`'s error, `.resourceTemporarilyUnavailable` when the time ran out; `.fileNameTooLong` for
    ///   a path over 107 bytes; `.tooManyReferences` when too much of what came from there before could not be closed
    ///   within a second (``ClosingLane``).
    public init(connectingTo path: String, within limit: Duration? = nil) throws(Errno) {
        let lane = ClosingLane.of(peer: path)
        guard lane.waitForRoom(within: .seconds(1)) else { throw .tooManyReferences }
        let socket = UnixSocket(owning: try Self.create())
        socket.setTakesDescriptors(false)
        let raw = socket.descriptor.raw
        // connect(2) takes its limit from SO_SNDTIMEO; what is sent later has limits of its own.
        try Self.setSendTimeout(of: raw, limit)
        try withSocketAddress(of: path) { address, size throws(Errno) in
            try systemCall { connect(raw, address, size) }
        }
        try Self.setSendTimeout(of: raw, nil)
        descriptor = socket.descriptor.closed(in: lane)
    }

    private static func setSendTimeout(of raw: Int32, _ limit: Duration?) throws(Errno) {
        var timeout = timeval()
        if let limit {
            // All zeros would be no limit.
            let (seconds, attoseconds) = max(limit, .microseconds(1)).components
            timeout = timeval(tv_sec: Int(seconds), tv_usec: Int(attoseconds / 1_000_000_000_000))
        }
        try systemCall { setsockopt(raw, SOL_SOCKET, SO_SNDTIMEO, &timeout, socklen_t(MemoryLayout<timeval>.size)) }
    }

    /// Two sockets that are connected to each other. `socketpair(2)`
    ///
    /// - Parameters:
    ///   - keepsPackets: what is sent at once arrives at once. `SOCK_SEQPACKET`
    ///   - lane: where the first end is closed, when the second is for a peer. The first takes no descriptors then,
    ///     where the
    ///     kernel lets it choose.
    public static func pair(keepsPackets: Bool = false, closedIn lane: ClosingLane? = nil) throws(Errno) -> Pair {
        var raw: [Int32] = [-1, -1]
        let type = Int32((keepsPackets ? SOCK_SEQPACKET : SOCK_STREAM).rawValue | SOCK_CLOEXEC.rawValue)
        try systemCall { socketpair(AF_UNIX, type, 0, &raw) }
        let first = UnixSocket(owning: Descriptor(owning: raw[0], closedIn: lane))
        if lane != nil { first.setTakesDescriptors(false) }
        return Pair(first: first, second: UnixSocket(owning: Descriptor(owning: raw[1])))
    }

    /// Both ends of a ``UnixSocket/pair(keepsPackets:closedIn:)``.
    @frozen
    public struct Pair: ~Copyable {
        public var first: UnixSocket
        public var second: UnixSocket
    }

    static func create() throws(Errno) -> Descriptor {
        Descriptor(
            owning: try systemCall { socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0) })
    }

    /// The same socket, to be closed in another lane, and what comes over it too.
    public consuming func closed(in lane: ClosingLane) -> UnixSocket {
        UnixSocket(owning: descriptor.closed(in: lane))
    }

    /// Has the kernel refuse descriptors that the peer wants to send, with EPERM there, or take them again. A new
    /// socket takes them. `SO_PASSRIGHTS`, Linux 6.16
    ///
    /// - Returns: false when this kernel has no such choice: they may come.
    @discardableResult
    public borrowing func setTakesDescriptors(_ takes: Bool) -> Bool {
        clinux_pass_rights(descriptor.raw, takes ? 1 : 0) == 0
    }

    /// Whether the peer may send descriptors, as far as the kernel tells; where it can't be told they may come.
    public borrowing func takesDescriptors() -> Bool { clinux_passes_rights(descriptor.raw) != 0 }

    /// Whether so little of what came is still to be closed that more may come, at the latest after a time.
    /// ``ClosingLane``
    public func hasRoomForDescriptors(within limit: Duration = .zero) -> Bool {
        descriptor.lane?.waitForRoom(within: limit) ?? true
    }

    /// Gives the socket away: whoever gets its number closes it.
    public consuming func relinquish() -> Int32 { descriptor.relinquish() }

    /// Ends both directions, so that whoever waits on either end wakes. `shutdown(2)`
    public borrowing func shutDown() {
        shutdown(descriptor.raw, Int32(SHUT_RDWR))
    }

    /// Ends the direction to the peer, who gets what was sent before. `SHUT_WR`
    public borrowing func endSending() {
        shutdown(descriptor.raw, Int32(SHUT_WR))
    }

    /// Ends the direction from the peer, whose next send fails. `SHUT_RD`
    public borrowing func endReceiving() {
        shutdown(descriptor.raw, Int32(SHUT_RD))
    }

    /// Whether the peer has closed its end; what it sent before may still be there to receive.
    public borrowing func isHungUp() throws(Errno) -> Bool {
        var entry = pollfd(fd: descriptor.raw, events: 0, revents: 0)
        try systemCall { poll(&entry, 1, 0) }
        return entry.revents & Int16(POLLHUP) != 0
    }

    /// Whether the peer, unless it is gone, has not received all that was sent; descriptors that went with it are still
    /// open then, and count for the user of this process. `SO_MEMINFO`
    public borrowing func hasUnread() throws(Errno) -> Bool {
        let raw = descriptor.raw
        return try shim(clinux_has_unread(raw)) == 1
    }

    /// Waits until there is something to receive (or the peer is gone).
    ///
    /// - Parameter limit: how long at most; nil: without end.
    /// - Returns: false when the time ran out.
    public borrowing func waitReadable(within limit: Duration?) throws(Errno) -> Bool {
        try wait(for: Int16(POLLIN), within: limit)
    }

    /// Waits until something can be sent (or the peer is gone).
    ///
    /// - Returns: false when the time ran out.
    public borrowing func waitWritable(within limit: Duration?) throws(Errno) -> Bool {
        try wait(for: Int16(POLLOUT), within: limit)
    }

    private borrowing func wait(for events: Int16, within limit: Duration?) throws(Errno) -> Bool {
        var entry = pollfd(fd: descriptor.raw, events: events, revents: 0)
        return try systemCall { poll(&entry, 1, limit.pollTimeout) } > 0
    }

    /// What ``receive(into:from:limit:descriptors:blocking:)`` saw.
    public enum Received: Equatable, Sendable {
        /// So many bytes, at least 1. `descriptors` tells that descriptors came with the last of
        /// them; `lost` that the kernel had to drop some.
        case bytes(Int, descriptors: Bool, lost: Bool)
        /// The peer closed its end.
        case endOfFile
        /// Nothing there (when not blocking), or a signal came.
        case nothing
    }

    /// Receives what is there, up to the end of `buffer`, with its descriptors. `recvmsg(2)`
    ///
    /// The kernel glues messages without descriptors together and stops after one that has some: the
    /// descriptors belong to the last message that begins in the bytes returned.
    ///
    /// - Parameters:
    ///   - position: where in `buffer` the bytes go; there must be room for 1.
    ///   - limit: how many bytes to receive at most, at least 1.
    ///   - descriptors: whatever was in it is closed. What comes belongs to the socket's own lane.
    ///   - blocking: whether to wait when nothing is there.
    public borrowing func receive(
        into buffer: PageBuffer, from position: Int, limit: Int = .max, descriptors: inout ReceivedDescriptors,
        blocking: Bool
    ) throws(Errno) -> Received {
        precondition(position < buffer.count && limit > 0)
        // SAFETY: `buffer` has room for the size given.
        return try receive(
            buffer.address(of: position), min(limit, buffer.count - position), descriptors: &descriptors,
            blocking: blocking)
    }

    /// Receives what is there, up to `count` bytes, straight into memory that others may have mapped.
    ///
    /// - Parameters:
    ///   - offset: where in `memory` the bytes go.
    ///   - count: at least 1.
    ///   - descriptors: as for ``receive(into:from:limit:descriptors:blocking:)``.
    /// - Throws: `recvmsg(2)`'s error; `.badAddress` when the bytes don't lie inside the memory.
    public borrowing func receive(
        into memory: MappedBytes, at offset: Int, count: Int, descriptors: inout ReceivedDescriptors, blocking: Bool
    ) throws(Errno) -> Received {
        guard offset >= 0, count > 0, offset <= memory.size, count <= memory.size - offset else { throw .badAddress }
        // SAFETY: inside the mapping, which `memory` keeps; only the kernel writes to it, and the fixed size keeps it
        // from faulting.
        return try receive(memory.mapping.base + offset, count, descriptors: &descriptors, blocking: blocking)
    }

    /// - Parameter bytes: valid for `count` bytes until the call returns.
    private borrowing func receive(
        _ bytes: UnsafeMutableRawPointer, _ count: Int, descriptors: inout ReceivedDescriptors, blocking: Bool
    ) throws(Errno) -> Received {
        var lost: Int32 = 0
        // SAFETY: the pointers are used during the call only.
        let got = withUnsafeTemporaryAllocation(of: Int32.self, capacity: ReceivedDescriptors.kernelMaximum) { room in
            var arrived = 0
            let got = clinux_receive(
                descriptor.raw, bytes, count, blocking ? 0 : Int32(MSG_DONTWAIT), room.baseAddress!, &arrived, &lost)
            // Nearly always there are none, and were none.
            if arrived > 0 || descriptors.count > 0 {
                let received = UnsafeBufferPointer(rebasing: room[..<arrived])
                if !descriptors.replace(with: received, closedIn: descriptor.lane) { lost = 1 }
            }
            return got
        }
        if got > 0 { return .bytes(got, descriptors: descriptors.count > 0, lost: lost != 0) }
        if got == 0 { return .endOfFile }
        switch Errno(rawValue: Int32(-got)) {
        case .interrupted, .resourceTemporarilyUnavailable: return .nothing
        case .connectionReset: return .endOfFile
        case let error: throw error
        }
    }

    /// Looks at the bytes that are there, and leaves them and their descriptors where they are. `MSG_PEEK`
    ///
    /// - Returns: how many came to the beginning of `buffer`; 0 when nothing is there or the peer has gone.
    public borrowing func peek(into buffer: PageBuffer) throws(Errno) -> Int {
        // SAFETY: the buffer has room for the size given. Without room for control data no descriptor is made; what the
        // call refers to in passing is referred to by the message as well, so nothing is closed.
        try shim(clinux_peek(descriptor.raw, buffer.address(of: 0), buffer.count))
    }

    /// Sends a message; blocks until all is sent, as ``send(_:_:descriptors:within:)`` does.
    public borrowing func send(_ message: RawSpan, within limit: Duration?) throws(Errno) {
        // SAFETY: the bytes live until the call returns.
        let sent = message.withUnsafeBytes {
            clinux_send(descriptor.raw, $0.baseAddress, $0.count, nil, 0, Self.flags(limit), nil, 0)
        }
        // Nearly always all goes at once.
        guard sent != message.byteCount else { return }
        try sendRest(of: message, RawSpan(), [], limit, after: sent)
    }

    /// Sends `head`, then `body`, with descriptors, in one message; blocks until all is sent.
    ///
    /// - Parameter limit: how long to wait for room at most, in all; nil: without end.
    /// - Throws: `.brokenPipe` or `.connectionReset` when the peer is gone, `.timedOut` when it made no room in
    ///   time. When a part has gone the connection is shut down: what followed would be taken for the rest.
    public borrowing func send(
        _ head: RawSpan, _ body: RawSpan = RawSpan(), descriptors: [Int32] = [],
        within limit: Duration? = nil
    ) throws(Errno) {
        let sent = attempt(head, body, descriptors, limit)
        guard sent != head.byteCount + body.byteCount else { return }
        try sendRest(of: head, body, descriptors, limit, after: sent)
    }

    /// Sends `head`, then bytes straight from memory, which may change meanwhile.
    ///
    /// - Throws: as ``send(_:_:descriptors:within:)``; `.badAddress` when the bytes don't lie inside the memory.
    public borrowing func send(
        _ head: RawSpan, _ memory: MappedBytes, at offset: Int, count: Int, within limit: Duration? = nil
    ) throws(Errno) {
        guard offset >= 0, count >= 0, offset <= memory.size, count <= memory.size - offset else { throw .badAddress }
        // SAFETY: inside the mapping, which `memory` keeps; only the kernel reads it, and the fixed size keeps it from
        // faulting.
        let bytes = RawSpan(_unsafeStart: memory.mapping.base + offset, byteCount: count)
        try send(head, bytes, within: limit)
    }

    /// Goes on after a first attempt that left something.
    ///
    /// - Parameter attempted: how many bytes have gone with it, or a negative errno.
    private borrowing func sendRest(
        of head: RawSpan, _ body: RawSpan, _ descriptors: [Int32], _ limit: Duration?, after attempted: Int
    ) throws(Errno) {
        // A peer that makes a little room now and then doesn't extend it.
        let deadline = Deadline(after: limit)
        let total = head.byteCount + body.byteCount
        var result = attempted
        var skipped = 0
        do throws(Errno) {
            while true {
                skipped += max(0, result)
                if skipped == total { return }
                // Where a part has gone there is no more room: to ask again at once would be in vain.
                switch result < 0 ? Errno(rawValue: Int32(-result)) : .resourceTemporarilyUnavailable {
                case .interrupted: break
                case .resourceTemporarilyUnavailable:
                    let left = deadline.left
                    guard left != .zero, try waitWritable(within: left) else { throw Errno.timedOut }
                case let error: throw error
                }
                let headLeft = head.extracting(droppingFirst: min(skipped, head.byteCount))
                let bodyLeft = body.extracting(droppingFirst: max(0, skipped - head.byteCount))
                result = attempt(headLeft, bodyLeft, skipped == 0 ? descriptors : [], limit)
            }
        } catch {
            if skipped > 0 { shutDown() }
            throw error
        }
    }

    /// - Returns: how many bytes have gone, and the descriptors with them; or a negative errno.
    private borrowing func attempt(
        _ head: RawSpan, _ body: RawSpan, _ descriptors: [Int32], _ limit: Duration?
    ) -> Int {
        head.withUnsafeBytes { head in
            body.withUnsafeBytes { body in
                // SAFETY: both pieces live until the call returns.
                clinux_send(
                    descriptor.raw, head.baseAddress, head.count, body.baseAddress, body.count,
                    Self.flags(limit), descriptors, descriptors.count)
            }
        }
    }

    /// A send with a time limit must not block in the kernel.
    private static func flags(_ limit: Duration?) -> Int32 { limit == nil ? 0 : Int32(MSG_DONTWAIT) }
}

/// Calls `body` with the `sockaddr_un` of `path`.
func withSocketAddress(
    of path: String, _ body: (UnsafePointer<sockaddr>, socklen_t) throws(Errno) -> Void
) throws(Errno) {
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    let bytes = Array(path.utf8)
    guard bytes.count < MemoryLayout.size(ofValue: address.sun_path), !bytes.contains(0) else {
        throw .fileNameTooLong
    }
    guard !bytes.isEmpty else { throw .noSuchFileOrDirectory }
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
    // SAFETY: sockaddr_un begins with the fields of sockaddr, as the socket calls define it.
    let size = socklen_t(MemoryLayout<sockaddr_un>.size)
    var result: Swift.Result<Void, Errno> = .success(())
    withUnsafePointer(to: &address) { pointer in
        pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
            do throws(Errno) { try body(address, size) } catch { result = .failure(error) }
        }
    }
    try result.get()
}
