import Glibc
import Linux

/// How many connections there may be, and how many directions of theirs may have descriptors in hand, by the number of
/// descriptors that this process may have. `RLIMIT_NOFILE`
///
/// Descriptors are in hand that came with a message which isn't whole yet, or which its receiver doesn't take. When too
/// many directions have some, those are ended that have had them the longest: longer than a message takes that is sent
/// and taken at once.
final class DescriptorBudget: Sendable {
    /// So many connections may there be at once.
    let connections: Int
    private let limit: Int
    /// In the order in which they got theirs.
    private let holders = Locked<[Holder]>([])

    private struct Holder {
        let link: Link
        let sender: Sender
        let since: UInt64
        let whenEnded: @Sendable () -> Void
    }

    /// So many are observed at once at most; others wait to be accepted.
    private static let maximumConnections = 64
    /// Those of the client and the server, and of the socket for the server's commands.
    private static let socketsPerConnection = 4
    /// Those of a message in hand, and of the next one, which may have come with its last bytes.
    private static let descriptorsPerHolder = 2 * ReceivedDescriptors.capacity
    /// How long a message may take at any rate, in nanoseconds.
    private static let patience: UInt64 = 100_000_000

    /// Of what the process may have, a quarter are sockets, and half are in hand. The rest is for what comes next and
    /// isn't kept.
    init() {
        let all = max(0, min(sysconf(Int32(_SC_OPEN_MAX)), 1 << 20))
        connections = max(1, min(Self.maximumConnections, all / 4 / Self.socketsPerConnection))
        limit = max(1, all / 2 / Self.descriptorsPerHolder)
    }

    /// Raises this process's own limit as far as it may be, and as is of use here.
    static func raiseLimit() {
        let useful = rlim_t(
            2 * maximumConnections * socketsPerConnection * descriptorsPerHolder)
        let resource = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
        var limit = rlimit()
        guard getrlimit(resource, &limit) == 0, limit.rlim_cur < useful else { return }
        limit.rlim_cur = min(useful, limit.rlim_max)
        // Without more, fewer are served at once.
        _ = setrlimit(resource, &limit)
    }

    /// Notes that a direction has descriptors in hand. Where too many have some, ends others.
    ///
    /// - Parameter whenEnded: is called when it is ended for others.
    func take(_ link: Link, _ sender: Sender, whenEnded: @escaping @Sendable () -> Void) {
        let now = SystemClock.nanoseconds
        holders.withLock { holders in
            guard !holders.contains(where: { $0.link === link && $0.sender == sender }) else { return }
            holders.append(Holder(link: link, sender: sender, since: now, whenEnded: whenEnded))
        }
        endLongest(before: now - Self.patience)
    }

    /// Ends those that have had descriptors the longest, where too many have some: there are none left.
    ///
    /// - Parameter time: when they got them at the latest; in nanoseconds.
    func endLongest(before time: UInt64 = .max) {
        let ended = holders.withLock { holders in
            let old = holders.prefix(max(0, holders.count - limit)).filter { $0.since <= time }
            holders.removeFirst(old.count)
            return old
        }
        for holder in ended { holder.whenEnded() }
    }

    /// Notes that a direction has none any more.
    func giveBack(_ link: Link, _ sender: Sender) {
        holders.withLock { $0.removeAll { $0.link === link && $0.sender == sender } }
    }
}
