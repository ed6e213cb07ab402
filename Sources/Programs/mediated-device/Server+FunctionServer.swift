import Control
import Device
import JSON
import Linux
import VFIOUserServer

/// Makes the server that a function is to have: of vfio-user, on a socket.
///
/// - Parameters:
///   - path: where clients connect.
///   - arguments: what is said of the function.
///   - process: what is said of all that its process serves.
///   - events: what happens to clients goes there.
func makeServer(
    of function: Function, at path: String, _ arguments: DeviceArguments.Function, _ process: DeviceArguments,
    events: EventLog
) throws(Failure) -> any FunctionServer {
    let listener = try UnixListener.make(
        at: path, mode: process.mode, or: arguments.socketDescriptor, .socketDescriptor)
    var configuration = Server.Configuration()
    configuration.isPolling = process.isPolling
    configuration.allowedPeers = process.allowedPeers
    configuration.onEvent = { events.append(ControlEvent.Kind($0), $0.description) }
    return Server(function, listener: listener, configuration: configuration)
}

extension Server: FunctionServer {
    var counters: JSON.Object { statistics.members }
}

extension ControlEvent.Kind {
    /// What a server's event is called.
    fileprivate init(_ event: Server.Event) {
        self =
            switch event {
            case .clientConnected: .clientConnected
            case .clientLeft: .clientLeft
            case .clientDenied: .clientDenied
            case .clientRefused: .clientRefused
            case .clientSilent: .clientSilent
            case .connectionFailed: .connectionFailed
            }
    }
}
