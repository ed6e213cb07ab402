import Linux
import Waiting

/// Somebody else who listens at a path: says the same to everybody, one thing to each that is asked, and hangs up.
final class Impostor: Sendable {
    private let acceptor: Acceptor

    init(at path: String, saying texts: String...) throws {
        acceptor = try Acceptor(at: path)
        try acceptor.start { socket in
            let buffer = try PageBuffer(count: 4096)
            var descriptors = ReceivedDescriptors()
            for text in texts {
                // Whoever connects speaks first.
                _ = try? socket.receive(into: buffer, from: 0, descriptors: &descriptors, blocking: true)
                let bytes = Array(text.utf8)
                try? socket.send(bytes.span.bytes)
            }
        }
    }

    func end() { acceptor.end() }
}
