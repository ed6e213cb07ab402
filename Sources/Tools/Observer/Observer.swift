import Glibc
import Linux
import Synchronization
import VFIOUserWire

/// Stands between clients and a vfio-user server: gives on every message with its descriptors, as it is and in its
/// order, and tells of it. Both sides may be hostile: memory and threads are bounded.
///
/// Each connection has a thread for each direction, so that neither waits for the other. When either end goes, the other
/// is told so after the last byte.
public final class Observer: Sendable {
    /// How clients are served.
    public struct Options: Sendable {
        /// Has all accesses go by messages: regions can't be mapped, and have neither doorbells nor an access ring.
        public var traps = false

        public init(traps: Bool = false) {
            self.traps = traps
        }
    }

    private let listener: UnixListener
    private let server: String
    private let options: Options
    private let delegate: any ObserverDelegate
    /// Those that are open, by their numbers.
    private let connections = Locked<[Int: Connection]>([:])
    private let someHasEnded: EventFD

    /// So many are observed at once; others wait to be accepted.
    private static let maximumConnections = 64
    /// How long the server has to take a connection.
    private static let patience = Duration.seconds(10)

    /// - Parameters:
    ///   - path: where clients connect.
    ///   - server: the socket of the server, which is connected to for each client.
    /// - Throws: as `UnixListener`.
    public init(
        listeningAt path: String, server: String, options: Options, delegate: any ObserverDelegate
    ) throws(Errno) {
        listener = try UnixListener(path: path, takesDescriptors: true)
        self.server = server
        self.options = options
        self.delegate = delegate
        someHasEnded = try EventFD()
    }

    /// Serves clients until a descriptor is readable. All connections have ended then.
    public func run(until stop: borrowing Descriptor) throws(Errno) {
        defer { endAll() }
        var number = 0
        while true {
            let isFull = connections.withLock { $0.count >= Self.maximumConnections }
            let ready = try waitReadable(
                [stop.raw, someHasEnded.descriptor.raw] + (isFull ? [] : [listener.descriptor.raw]), within: nil)
            if ready[0] { return }
            if ready[1] { someHasEnded.consume() }
            guard !isFull, ready[2] else { continue }
            guard let client = try listener.accept(closedIn: .of(peer: listener.path)) else { continue }
            start(client, number)
            number += 1
        }
    }

    private func start(_ client: consuming UnixSocket, _ number: Int) {
        do throws(Errno) {
            let upstream = try UnixSocket(connectingTo: server, within: Self.patience)
            upstream.setTakesDescriptors(true)
            let connection = try Connection(
                number, client: client, server: upstream, traps: options.traps, delegate: delegate
            ) { [weak self] in
                guard let self else { return }
                connections.withLock { $0[number] = nil }
                someHasEnded.signal()
            }
            connections.withLock { $0[number] = connection }
            try connection.start()
        } catch {
            connections.withLock { $0[number] = nil }
            delegate.observe(notice: "Client \(number) can't be connected to the server at '\(server)': \(error).")
        }
    }

    private func endAll() {
        for connection in connections.withLock({ Array($0.values) }) { connection.end() }
        // The last messages are told of.
        while connections.withLock({ !$0.isEmpty }) {
            _ = someHasEnded.wait(within: .milliseconds(100))
            someHasEnded.consume()
        }
    }
}
