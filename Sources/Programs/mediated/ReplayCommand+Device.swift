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
        let interruption = Interruption(signals)
        let part = try DevicePart(loop, options: option, check: interruption.check) { try reader.next() }
        defer { part.close() }
        let server = try server(part, at: path)
        let token = try loop.watch("signals", signals.descriptor, for: .readable) { _ in server.stop() }
        defer { loop.unwatch(token) }
        part.onEnd = {
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
        if let failure = part.failure { throw failure }
        if let divergence = part.divergence {
            show(divergence, ofType: part.description.type, came: "came    ")
            throw Failure(.badState, "The client did something else than the recorded one.")
        }
        guard let next = try part.remaining() else {
            return Output.print("\(part.passages) events were played: all that was recorded.")
        }
        Output.print("\(part.passages) events were played. Event \(next.number) was not come to:")
        Output.print("  recorded  \(line(next, ofType: part.description.type) ?? "what was lost then")")
        throw Failure(.badState, "The recording's end was not reached.")
    }
}

/// Whether the command is to end, looked at now and then while the loop can't: each look is a system call.
private final class Interruption {
    private static let interval = 256

    private let signals: SignalFD
    private var calls = 0

    init(_ signals: SignalFD) {
        self.signals = signals
    }

    func check() throws {
        calls &+= 1
        guard calls.isMultiple(of: Self.interval) else { return }
        guard try waitReadable([signals.descriptor.raw], within: .zero) == [true] else { return }
        throw Failure(.badState, "It was interrupted, and the recording's end was not reached.")
    }
}
