import ArgumentParser
import Control

/// Which device process a command is for.
struct ControlOptions: ParsableArguments {
    @Argument(help: "The vfio-user socket of a device process on this host.", completion: .file())
    var socket: String

    @Option(help: "The process's control socket. [default: SOCKET.control]", completion: .file())
    var control: String?

    /// Connects to the device process and does something with it.
    func withClient<Result: ~Copyable>(
        _ body: (ControlClient) throws(ControlClientError) -> Result
    ) throws -> Result {
        do throws(ControlClientError) {
            return try body(ControlClient(connectingTo: control ?? ControlClient.path(besides: socket)))
        } catch {
            throw Failure(error)
        }
    }
}
