import Glibc
import Linux
import Recording
import Replay
import VFIOUserServer

/// The device's part of a recording, for a real client.
extension ReplayCommand {
    func playDevice(at path: String, _ reader: RecordingReader) throws {
        let signals = try SignalFD([SIGINT, SIGTERM])
        let loop = try EventLoop()
        let part = try DevicePart(loop, options: option) { try reader.next() }
        defer { part.close() }
        let server = try server(part, at: path)
        let token = try loop.watch("signals", signals.descriptor, for: .readable) { _ in server.stop() }
        defer { loop.unwatch(token) }
        part.onDivergence = {
            server.disconnect()
            server.stop()
        }
        StandardError.print("mediated: A client can have the device's part of '\(file)' at '\(path)'.")
        try server.run()
        try finish(part)
    }

    /// Serves one client: what it has left undone, no other could go on with.
    private func server(_ part: DevicePart, at path: String) throws -> Server {
        let listener: UnixListener
        do throws(Errno) { listener = try UnixListener(path: path) } catch {
            throw Failure(.cannotCreate, UnixListener.explanation(of: error, at: path))
        }
        let box = Box()
        var configuration = Server.Configuration()
        configuration.onEvent = { if case .clientLeft = $0 { box.server?.stop() } }
        let server = Server(part.function, listener: listener, configuration: configuration)
        box.server = server
        return server
    }

    private final class Box {
        weak var server: Server?
    }

    private func finish(_ part: DevicePart) throws {
        let next = part.next
        if let divergence = part.divergence {
            show(divergence, ofType: part.description.type, came: "came    ")
            throw Failure(.badState, "The client did something else than the recorded one.")
        }
        guard let next else { return Output.print("\(part.passages) events were played: all that was recorded.") }
        Output.print("\(part.passages) events were played. Event \(next.number) was not asked for:")
        Output.print("  recorded  \(line(next, ofType: part.description.type) ?? "what was lost then")")
        throw Failure(.badState, "The recording's end was not reached.")
    }
}
