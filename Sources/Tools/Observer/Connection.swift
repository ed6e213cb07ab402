import Linux
import VFIO
import VFIOUserWire

/// A client's connection, and with it the socket for the server's commands where the two have agreed on one.
final class Connection: Sendable {
    let number: Int
    let traps: Bool
    let delegate: any ObserverDelegate
    private let state: Locked<State>
    private let whenEnded: @Sendable () -> Void

    private struct State {
        var links: [Link] = []
        /// Threads that run.
        var running = 0
        var hasTwin = false
    }

    /// The longest message that is kept until it is whole, in bytes: peers agree on transfers of 1 MiB.
    static let maximumMessage = (1 << 20) + 4096

    /// - Parameter whenEnded: is called when both ends have gone, on a thread of the connection's.
    init(
        _ number: Int, client: consuming UnixSocket, server: consuming UnixSocket, traps: Bool,
        delegate: any ObserverDelegate, whenEnded: @escaping @Sendable () -> Void
    ) throws(Errno) {
        self.number = number
        self.traps = traps
        self.delegate = delegate
        self.whenEnded = whenEnded
        state = Locked(State())
        try add(Link(client: client, server: server))
    }

    private func add(_ link: Link) throws(Errno) { state.withLock { $0.links.append(link) } }

    func start() throws(Errno) {
        guard let link = state.withLock({ $0.links.first }) else { return }
        try start(link)
    }

    /// Ends both directions at once.
    func end() {
        for link in state.withLock({ $0.links }) { link.shutDown() }
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
        let link = try Link(client: pair.first, server: server)
        try add(link)
        try start(link)
        return pair.second
    }

    private func start(_ link: Link) throws(Errno) {
        for sender in [Sender.client, .server] {
            state.withLock { $0.running += 1 }
            let relay = Relay(link, from: sender, of: self)
            do throws(Errno) {
                _ = try Thread(name: "observe \(sender)") { [self] in
                    relay.run()
                    ended()
                }
            } catch {
                link.shutDown()
                ended()
                throw error
            }
        }
    }

    private func ended() {
        let isLast = state.withLock { state in
            state.running -= 1
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

    init(client: consuming UnixSocket, server: consuming UnixSocket) throws(Errno) {
        self.client = try MessageStream(client, maximumMessage: Connection.maximumMessage)
        self.server = try MessageStream(server, maximumMessage: Connection.maximumMessage)
    }

    func shutDown() {
        client.socket.shutDown()
        server.socket.shutDown()
    }
}
