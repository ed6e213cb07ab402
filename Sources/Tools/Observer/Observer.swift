import Glibc
import Linux
import Synchronization
import VFIOUserWire

/// Stands between clients and a vfio-user server: gives on every message with its descriptors, as it is and in its
/// order, and tells of it. Both sides may be hostile: memory, threads and descriptors are bounded.
///
/// Each connection has a thread for each direction, so that neither waits for the other. When either end goes, the
/// other is told so after the last byte.
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
    private let budget = DescriptorBudget()
    /// Those that are open, by their numbers.
    private let connections = Locked<[Int: Connection]>([:])
    private let someHasEnded: EventFD

    /// How long the listener isn't looked at after a connection could not be accepted.
    private static let pause = Duration.seconds(1)
    /// How long connections have to end: their sockets are shut down, so none takes long unless the delegate does.
    private static let patience = Duration.seconds(5)

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

    /// Has this process be allowed as many descriptors as it may be, before there is an observer: the fewer there are,
    /// the fewer clients are served at once.
    public static func raiseDescriptorLimit() { DescriptorBudget.raiseLimit() }

    /// Serves clients until a descriptor is readable. All connections have ended then, but for those whose delegate
    /// still keeps them.
    ///
    /// - Throws: what `poll(2)` says. What goes wrong with a client is told to the delegate.
    public func run(until stop: borrowing Descriptor) throws(Errno) {
        defer { endAll() }
        var number = 0
        var nextLook = Deadline(after: .zero)
        while true {
            let isFull = connections.withLock { $0.count >= budget.connections }
            let looks = !isFull && nextLook.hasPassed
            let ready = try waitReadable(
                [stop.raw, someHasEnded.descriptor.raw] + (looks ? [listener.descriptor.raw] : []),
                within: isFull || looks ? nil : nextLook.left)
            if ready[0] { return }
            if ready[1] { someHasEnded.consume() }
            guard looks, ready[2] else { continue }
            do throws(Errno) {
                guard let client = try listener.accept(closedIn: .of(peer: listener.path)) else { continue }
                start(client, number)
                number += 1
            } catch {
                // No descriptors or no memory. The listener stays readable: look away for a second.
                delegate.observe(notice: "A client can't be accepted now, and waits: \(error).")
                budget.endLongest()
                nextLook = Deadline(after: Self.pause)
            }
        }
    }

    private func start(_ client: consuming UnixSocket, _ number: Int) {
        do throws(Errno) {
            let connection = try Connection(
                number, client: client, server: server, traps: options.traps, budget: budget, delegate: delegate
            ) { [weak self] in
                guard let self else { return }
                connections.withLock { $0[number] = nil }
                someHasEnded.signal()
            }
            connections.withLock { $0[number] = connection }
            try connection.start()
        } catch {
            connections.withLock { $0[number] = nil }
            delegate.observe(notice: "Client \(number) can't be served: \(error).")
        }
    }

    private func endAll() {
        for connection in connections.withLock({ Array($0.values) }) { connection.end() }
        // The last messages are told of.
        let end = Deadline(after: Self.patience)
        while connections.withLock({ !$0.isEmpty }), !end.hasPassed {
            _ = someHasEnded.wait(within: .milliseconds(100))
        }
    }
}
