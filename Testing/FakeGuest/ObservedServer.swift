import Glibc
import Linux
import Observer

/// An observer before a server: with it in between, nothing is different for either. With `MEDIATED_OBSERVED` in the
/// environment every ``ServedDevice`` has one.
public final class ObservedServer: Sendable {
    /// Where clients connect.
    public let path: String
    private let stopped: EventFD
    private let thread: Thread

    public static var isWanted: Bool { getenv("MEDIATED_OBSERVED") != nil }

    /// - Parameter server: where the server listens.
    public init(
        _ server: String, options: Observer.Options = .init(), delegate: any ObserverDelegate = Nobody()
    ) throws(Errno) {
        path = "\(server).seen"
        let observer = try Observer(listeningAt: path, server: server, options: options, delegate: delegate)
        let stopped = try EventFD()
        self.stopped = stopped
        thread = try Thread(name: "observer") { try? observer.run(until: stopped.descriptor) }
    }

    /// Ends all connections. To be called once.
    public func stop() {
        stopped.signal()
        thread.join()
    }
}

/// Looks at nothing.
public final class Nobody: ObserverDelegate {
    public init() {}
    public func observe(_ message: RawSpan, descriptors: [String], from sender: Sender, connection: Int) {}
    public func observe(notice: String) {}
}
