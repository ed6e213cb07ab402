import Device
import DeviceCatalog
import FakeGuest
import Glibc
import Linux
import VFIOUserServer

/// A server on the fuzzer's own thread, for one client at a time: all that happens between both has one order.
public final class PlainServer {
    public let function: Function
    public let path: String
    private let listener: UnixListener
    /// Of the last client, for the next one.
    private var buffer: PageBuffer?

    public var loop: EventLoop { function.host.loop }

    public init(_ type: String) throws {
        path = "/tmp/fuzz-server-\(getpid()).sock"
        let host = Host(loop: try EventLoop(closesAtOnce: true))
        function = try Function(DeviceCatalog.make(type, options: [], host: host), host: host)
        listener = try UnixListener(path: path, takesDescriptors: true)
    }

    /// Connects a client that waits for nothing.
    public func client() throws(Errno) -> RawClient {
        let client = try RawClient(
            UnixSocket(connectingTo: path).closed(in: loop.strangersLane), patience: .zero, buffer: buffer)
        buffer = client.buffer
        return client
    }

    /// Serves the client that has connected until its session is over, and resets the device.
    ///
    /// - Returns: why it is over.
    public func serve() throws -> SessionEnd {
        var configuration = Server.Configuration()
        // No thread watches for events meanwhile: whoever polls looks by itself.
        configuration.isPolling = true
        // What a client has not sent by now, it won't.
        configuration.patience = .milliseconds(1)
        let end = End()
        configuration.onEvent = { [end] event in
            switch event {
            case .clientConnected: return
            // The reasons are sentences, for administrators.
            case .clientLeft(let reason) where reason.hasPrefix("the client closed"): end.reason = .left
            case .clientLeft(let reason) where reason.hasPrefix("the versions could not be agreed on"):
                end.reason = .refused
            default: break
            }
            end.server?.stop()
        }
        let server = Server(function, listener: listener, configuration: configuration)
        end.server = server
        try server.run()
        guard function.host.memory.mapCount == 0 else { fuzzFailed("Memory of a client that has left is mapped.") }
        function.reset()
        return end.reason
    }

    /// Why a session is over.
    public enum SessionEnd {
        /// The client left.
        case left
        /// It spoke another version.
        case refused
        /// It sent what can't be read, or took no answers.
        case other
    }

    private final class End {
        weak var server: Server?
        var reason = SessionEnd.other
    }
}

extension RawClient {
    /// Says that nothing more comes.
    public func end() {
        shutdown(socket.descriptor.raw, Int32(SHUT_WR))
    }
}
