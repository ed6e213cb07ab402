import Control
import Foundation
import Linux
import Programs
import VFIOUserClient

/// A confined device process as the daemon starts it: its sockets are bound already, and it is no longer root's.
final class SandboxedDevice {
    /// Not a user or group of anybody's.
    static let user: UInt32 = 54_321
    static let group: UInt32 = 54_322

    let child: Child
    let scratch: Scratch
    /// What it said until it served.
    let log: String
    private let sockets: [UnixListener]

    var socket: String { scratch.path("vgpu") }

    /// Returns when it serves.
    ///
    /// - Parameters:
    ///   - options: of the device; `@` stands for the folder of ``scratch``.
    ///   - state: a descriptor of a saved state.
    init(_ type: String, options: [String] = [], _ arguments: [String] = [], state: Int32? = nil) throws {
        let scratch = try Scratch(permissions: 0o777)
        let path = scratch.path("vgpu")
        let sockets = try [path, ControlClient.path(besides: path)].map { try UnixListener(path: $0) }
        var descriptors = [(sockets[0].descriptor.raw, as: Int32(20)), (sockets[1].descriptor.raw, as: 21)]
        var words = [type, "--socket", path, "--socket-fd", "20", "--control-fd", "21", "--sandbox"] + arguments
        for option in options { words += ["--option", option.replacing("@", with: scratch.path(""))] }
        if isRoot { words += ["--uid", "\(Self.user)", "--gid", "\(Self.group)"] }
        if let state {
            descriptors.append((state, as: 22))
            words += ["--state-fd", "22"]
        }
        child = try Child("mediated-device", words, descriptors: descriptors)
        log = try child.errors(until: "Serving")
        self.scratch = scratch
        self.sockets = sockets
    }

    /// A client that has made the device a bus master, as a driver does.
    func client(configure: (inout Client.Configuration) -> Void = { _ in }) throws -> Client {
        var configuration = Client.Configuration()
        configuration.patience = .seconds(20)
        configure(&configuration)
        let client = try Client(path: socket, configuration: configuration)
        try client.setBusMaster(true)
        return client
    }

    var control: ControlClient {
        get throws { try ControlClient(connectingTo: ControlClient.path(besides: socket)) }
    }

    /// Ends it, as `mediated stop` does.
    func stop() throws -> Ending {
        try control.stop()
        return child.wait()
    }
}
