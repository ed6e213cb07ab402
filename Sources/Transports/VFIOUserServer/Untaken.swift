import Linux

/// A connection whose client has gone without having received all that was sent to it, and may have it still.
///
/// What is sent and not received takes memory of the kernel's, and descriptors in it count for the user that this
/// process runs as (`RLIMIT_NOFILE`, `unix(7)`, ETOOMANYREFS): for as long as the other end is open, and for all
/// processes of that user together. So there is a limit for each session, and one for the sessions before it.
final class Untaken {
    /// How many sessions may have left something behind before another client is taken.
    static let maximumSessions = 4
    /// How many descriptors of one session may be on their way.
    static let maximumDescriptors = ReceivedDescriptors.capacity

    private let socket: UnixSocket

    /// - Returns: nil when all was received, or the peer's end is closed.
    init?(of socket: borrowing UnixSocket) throws(Errno) {
        guard try socket.hasUnread() else { return nil }
        self.socket = UnixSocket(owning: try socket.descriptor.duplicate())
        self.socket.shutDown()
    }

    /// Whether there is still something that was not received.
    var remains: Bool { (try? socket.hasUnread()) ?? false }
}
