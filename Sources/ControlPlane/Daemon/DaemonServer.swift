import DaemonAPI
import Linux
import Logging
import NIOPosix

/// Takes connections, looks who they come from, and has them served.
final class DaemonServer: Sendable {
    /// The most connections that one user may have at a time. More are closed at once.
    static let connectionLimit = 64

    private let router: Router
    private let statistics: DaemonStatistics
    private let logger: Logger
    private let onRefusal: @Sendable (UnixSocket.Peer) -> Void
    private let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    /// Connections by user.
    private let connections = Locked<[UInt32: Int]>([:])
    /// The lane of a user who has more connections waiting in it than it may, while that is so.
    private let overfull = Locked<ClosingLane?>(nil)

    /// - Parameter onRefusal: hears of those who came and may not.
    init(
        router: Router, statistics: DaemonStatistics, logger: Logger,
        onRefusal: @escaping @Sendable (UnixSocket.Peer) -> Void
    ) {
        self.router = router
        self.statistics = statistics
        self.logger = logger
        self.onRefusal = onRefusal
    }

    /// Serves all connections that wait.
    ///
    /// Where the kernel can't have a socket refuse descriptors, each user has a lane for closing what they send. One
    /// whose closes hang keeps no other user's from being closed. At the lane's bound nothing is received from that
    /// user any more: their connections are shut down, and go to the lane with all that lies in them. Only when too
    /// many lie there do all wait in the backlog (``ClosingLane/hasRoomForConnections``).
    func acceptConnections(of listener: DaemonListener) {
        do throws(Errno) {
            while true {
                if let lane = overfull.withLock({ $0 }) {
                    guard lane.hasRoomForConnections else { throw .tooManyReferences }
                    overfull.withLock { $0 = nil }
                }
                guard let socket = try listener.accept() else { return }
                // One that has left already is no error.
                guard let peer = try? socket.peer(),
                    let isAllowed = try? listener.allowed.admits(peer, at: socket, besides: statistics.user)
                else { continue }
                guard socket.takesDescriptors() else {
                    if beginConnection(of: peer.uid) { serve(socket, peer, isAllowed: isAllowed) }
                    continue
                }
                let lane = ClosingLane.of(peer: "user \(peer.uid)")
                let connection = socket.closed(in: lane)
                if !lane.hasRoomForConnections { overfull.withLock { $0 = lane } }
                guard lane.hasRoom, beginConnection(of: peer.uid) else {
                    // At once, whenever its lane closes it.
                    connection.shutDown()
                    continue
                }
                serve(connection, peer, isAllowed: isAllowed)
            }
        } catch {
            // Out of descriptors or memory: the connection waits, and others must end first.
            logger.warning("Can't accept a connection: \(error)")
            _ = try? waitReadable([], within: .milliseconds(100))
        }
    }

    private func serve(_ socket: consuming UnixSocket, _ peer: UnixSocket.Peer, isAllowed: Bool) {
        let raw: Int32
        do throws(Errno) {
            if socket.takesDescriptors() {
                raw = try BytePump.start(socket).relinquish()
            } else {
                raw = socket.relinquish()
            }
        } catch {
            endConnection(of: peer.uid)
            return logger.warning("Can't serve a connection: \(error)")
        }
        if !isAllowed { onRefusal(peer) }
        Task {
            defer { endConnection(of: peer.uid) }
            let stream: HTTPConnection.Stream
            do {
                stream = try await self.stream(over: raw)
            } catch {
                return logger.warning("Can't serve a connection: \(error)")
            }
            let connection = HTTPConnection(stream: stream) { [self] request throws(Problem) in
                try await respond(to: request, of: peer, isAllowed: isAllowed)
            }
            await connection.run()
        }
    }

    /// - Parameter raw: a connected socket, which is NIO's from here on, whatever happens.
    private func stream(over raw: Int32) async throws -> HTTPConnection.Stream {
        let loop = group.next()
        let promise = loop.makePromise(of: HTTPConnection.Stream.self)
        ClientBootstrap(group: loop)
            .channelInitializer { channel in
                HTTPConnection.configure(channel).map { stream in promise.succeed(stream) }
            }
            .withConnectedSocket(raw)
            .whenFailure { error in promise.fail(error) }
        return try await promise.futureResult.get()
    }

    private func respond(
        to request: HTTPRequest, of peer: UnixSocket.Peer, isAllowed: Bool
    ) async throws(Problem) -> HTTPResponse {
        do throws(Problem) {
            guard isAllowed else {
                throw Problem(
                    .forbidden, .forbidden,
                    "User \(peer.uid) may not use this daemon: only root, its own user and the members of its group may."
                )
            }
            let response = try await router.respond(to: request)
            statistics.countResponse(status: Int(response.status.code))
            return response
        } catch {
            statistics.countResponse(status: error.status)
            throw error
        }
    }

    // MARK: Limits

    private func beginConnection(of user: UInt32) -> Bool {
        connections.withLock { connections in
            guard connections[user, default: 0] < Self.connectionLimit else { return false }
            connections[user, default: 0] += 1
            return true
        }
    }

    private func endConnection(of user: UInt32) {
        connections.withLock { connections in
            let count = connections[user, default: 1] - 1
            connections[user] = count > 0 ? count : nil
        }
    }
}
