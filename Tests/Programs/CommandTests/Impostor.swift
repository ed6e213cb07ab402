import Linux
import Synchronization
import Testing

/// Somebody else who listens at a path: says the same to everybody, one thing to each that is asked, and hangs up.
final class Impostor: Sendable {
    private let listener: UnixListener
    private let thread = Mutex<Linux.Thread?>(nil)
    private let isEnding = Atomic<Bool>(false)

    init(at path: String, saying texts: String...) throws {
        listener = try UnixListener(path: path)
        let started = try Linux.Thread(name: "impostor") { [self] in answer(texts) }
        thread.withLock { $0 = started }
    }

    private func answer(_ texts: [String]) {
        while !isEnding.load(ordering: .acquiring) {
            var descriptors = ReceivedDescriptors()
            guard let buffer = try? PageBuffer(count: 4096), let socket = try? wait() else { return }
            for text in texts {
                // Whoever connects speaks first.
                _ = try? socket.receive(into: buffer, from: 0, descriptors: &descriptors, blocking: true)
                let bytes = Array(text.utf8)
                try? socket.send(bytes.span.bytes)
            }
        }
    }

    private func wait() throws(Errno) -> UnixSocket? {
        let loop = try EventLoop()
        let token = try loop.watch("connections", listener.descriptor, for: .readable) { _ in }
        defer { loop.unwatch(token) }
        try loop.dispatch(within: nil)
        return try listener.accept()
    }

    /// Ends the thread: by one more connection, which it waits for.
    func end() {
        isEnding.store(true, ordering: .releasing)
        let knock = try? UnixSocket(connectingTo: listener.path)
        knock?.shutDown()
        thread.withLock { $0.take() }?.join()
    }
}
