import Glibc
import Linux
import VFIO
import VFIOUserWire

/// A client's connection, and with it the socket for the server's commands where the two have agreed on one.
final class Connection: Sendable {
    let number: Int
    let traps: Bool
    let delegate: any ObserverDelegate
    /// SAFETY: as in a ``Link``, whose it becomes.
    nonisolated(unsafe) private let client: MessageStream
    private let server: String
    private let budget: DescriptorBudget
    private let state = Locked(State())
    private let whenEnded: @Sendable () -> Void

    private struct State {
        var links: [Link] = []
        /// Threads that run, or are about to.
        var running = 0
        var hasTwin = false
        var hasEnded = false
    }

    /// The longest message that is kept until it is whole, in bytes: peers agree on transfers of 1 MiB.
    static let maximumMessage = (1 << 20) + 4096
    /// How long the server has to take a connection, and after how many milliseconds that is tried again.
    private static let patience = Duration.seconds(10)
    private static let pace: Int32 = 20

    /// - Parameters:
    ///   - server: the socket of the server.
    ///   - whenEnded: is called when both ends have gone, on a thread of the connection's; or by ``start()``, when that
    ///     throws.
    init(
        _ number: Int, client: consuming UnixSocket, server: String, traps: Bool, budget: DescriptorBudget,
        delegate: any ObserverDelegate, whenEnded: @escaping @Sendable () -> Void
    ) throws(Errno) {
        self.number = number
        self.traps = traps
        self.delegate = delegate
        self.server = server
        self.budget = budget
        self.whenEnded = whenEnded
        self.client = try MessageStream(client, maximumMessage: Self.maximumMessage)
    }

    /// Connects to the server, and gives on messages: on threads of the connection's own.
    ///
    /// - Throws: as `Thread`.
    func start() throws(Errno) {
        try run([("observe connect", { [self] in connectAndStart() })])
    }

    private func connectAndStart() {
        do throws(Errno) {
            if let server = try connect() { try start(Link(client: client, server: server)) }
        } catch {
            let reason = error == .timedOut ? "it takes no connection" : "\(error)"
            delegate.observe(notice: "Client \(number) can't be connected to the server at '\(server)': \(reason).")
            client.socket.shutDown()
        }
    }

    /// Ends both directions at once.
    func end() {
        let links = state.withLock { state in
            state.hasEnded = true
            return state.links
        }
        client.socket.shutDown()
        for link in links { link.shutDown() }
    }

    private var hasEnded: Bool { state.withLock { $0.hasEnded } }

    /// - Returns: nil when the client has gone, or the connection is ended, while the server took none.
    private func connect() throws(Errno) -> UnixSocket? {
        let end = Deadline(after: Self.patience)
        while !hasEnded {
            do throws(Errno) {
                let socket = try UnixSocket(connectingAtOnceTo: server)
                try socket.descriptor.setNonblocking(false)
                socket.setTakesDescriptors(true)
                return socket
            } catch {
                // Its backlog is full, or what it has sent before is still to be closed.
                guard [.resourceTemporarilyUnavailable, .tooManyReferences].contains(error) else { throw error }
                guard !end.hasPassed else { throw .timedOut }
            }
            if try client.socket.isHungUp() { return nil }
            poll(nil, 0, Self.pace)
        }
        return nil
    }

    /// Stands between the two on the socket for the server's commands, too.
    ///
    /// - Parameter server: the end that the server has made for the client.
    /// - Returns: the end for the client.
    /// - Throws: `.alreadyInProcess` when there is one already.
    func addTwin(_ server: consuming UnixSocket) throws(Errno) -> UnixSocket {
        let isFirst = state.withLock { state in
            defer { state.hasTwin = true }
            return !state.hasTwin
        }
        guard isFirst else { throw .alreadyInProcess }
        server.setTakesDescriptors(true)
        let pair = try UnixSocket.pair(closedIn: .of(peer: "observed twin"))
        pair.first.setTakesDescriptors(true)
        let twin = try MessageStream(pair.first, maximumMessage: Self.maximumMessage)
        try start(Link(client: twin, server: server))
        return pair.second
    }

    // MARK: Threads

    private func start(_ link: Link) throws(Errno) {
        let hasEnded = state.withLock { state in
            state.links.append(link)
            return state.hasEnded
        }
        if hasEnded { link.shutDown() }
        do throws(Errno) {
            let relays = [Sender.client, .server].map { Relay(link, from: $0, of: self, budget) }
            try run(relays.map { relay in ("observe \(relay.sender)", { relay.run() }) })
        } catch {
            link.shutDown()
            throw error
        }
    }

    /// Runs each on a thread. All are counted before the first one can have ended.
    ///
    /// - Throws: as `Thread`. Those that were started before run.
    private func run(_ bodies: [(name: String, body: @Sendable () -> Void)]) throws(Errno) {
        state.withLock { $0.running += bodies.count }
        var started = 0
        do throws(Errno) {
            for (name, body) in bodies {
                _ = try Thread(name: name) { [self] in
                    body()
                    ended(1)
                }
                started += 1
            }
        } catch {
            ended(bodies.count - started)
            throw error
        }
    }

    private func ended(_ count: Int) {
        let isLast = state.withLock { state in
            state.running -= count
            return state.running == 0
        }
        if isLast { whenEnded() }
    }
}

/// Two sockets and what has come on each.
///
/// Unchecked: each stream is filled by one thread, that of its direction; sockets are sent to and shut down by any.
final class Link: @unchecked Sendable {
    let client: MessageStream
    let server: MessageStream

    init(client: MessageStream, server: consuming UnixSocket) throws(Errno) {
        self.client = client
        self.server = try MessageStream(server, maximumMessage: Connection.maximumMessage)
    }

    func shutDown() {
        client.socket.shutDown()
        server.socket.shutDown()
    }
}
