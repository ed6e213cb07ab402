import ArgumentParser
import Control
import DaemonClient
import Mediation

/// Which device process a command is for.
struct ControlOptions: ParsableArguments {
    @Argument(
        help: "The vfio-user socket of a device process on this host, or the UUID of a vGPU that the daemon keeps.",
        completion: .file())
    var socket: String

    @Option(help: "The process's control socket. [default: SOCKET.control]", completion: .file())
    var control: String?

    @OptionGroup var daemon: DaemonOptions

    func validate() throws {
        guard control == nil || InstanceID(socket) == nil else {
            throw ValidationError("--control goes with a socket, not with a UUID.")
        }
    }

    /// Asks whom it concerns: the device process by its control socket or, for a vGPU of the daemon's, which only the
    /// daemon may ask, the daemon.
    func ask<Answer>(
        _ process: (ControlClient) throws -> Answer, orDaemon daemon: (DaemonClient, InstanceID) throws -> Answer
    ) throws -> Answer {
        do {
            guard let id = InstanceID(socket) else { return try withClient(process) }
            return try daemon(DaemonClient(path: self.daemon.directories().daemon), id)
        } catch let error as DaemonClientError {
            throw Failure(error)
        }
    }

    /// Connects to the device process and does something with it. That of a daemon's vGPU can be connected to by root
    /// and the daemon's user.
    func withClient<Result: ~Copyable>(_ body: (ControlClient) throws -> Result) throws -> Result {
        let path =
            if let id = InstanceID(socket) { try daemon.directories().control(of: id) } else {
                control ?? ControlClient.path(besides: socket)
            }
        do {
            return try body(ControlClient(connectingTo: path))
        } catch let error as ControlClientError {
            throw Failure(error)
        }
    }
}
