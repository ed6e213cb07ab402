import Linux
import Synchronization

/// A socket that listens, and a thread that serves whoever connects, one after the other.
public final class Acceptor: Sendable {
    private let listener: UnixListener
    private let thread = Mutex<Thread?>(nil)
    private let isEnding = Atomic<Bool>(false)

    /// Listens at a path.
    public init(at path: String) throws(Errno) {
        listener = try UnixListener(path: path)
    }

    /// Where it listens.
    public var path: String { listener.path }

    /// Starts the thread.
    ///
    /// - Parameter serve: serves one connection to its end, which may be an error.
    public func start(_ serve: @escaping @Sendable (consuming UnixSocket) throws -> Void) throws(Errno) {
        let started = try Thread(name: "acceptor") { [self] in
            while !isEnding.load(ordering: .acquiring) {
                guard (try? waitReadable([listener.descriptor.raw], within: nil)) == [true] else { return }
                if let socket = try? listener.accept() { try? serve(socket) }
            }
        }
        thread.withLock { $0 = started }
    }

    /// Ends the thread: by one more connection, which it waits for.
    public func end() {
        isEnding.store(true, ordering: .releasing)
        let knock = try? UnixSocket(connectingTo: path)
        knock?.shutDown()
        thread.withLock { $0.take() }?.join()
    }
}
