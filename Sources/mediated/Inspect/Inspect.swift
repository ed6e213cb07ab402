import ArgumentParser
import Linux
import VFIO
import VFIOUser

/// `mediated inspect`
struct Inspect: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Connect as a vfio-user client and print what a server offers.",
        discussion: """
            Works with any vfio-user server, and prints in the manner of 'lspci -vv'. Nothing is changed, but most \
            servers take one client at a time: a device that is in use can't be inspected.
            """)

    @Argument(help: "The server's socket.", completion: .file())
    var socket: String

    @Flag(name: [.customShort("x"), .long], help: "Add all bytes of configuration space, as 'lspci -xxxx' does.")
    var hex = false

    @Flag(help: "Print JSON.")
    var json = false

    @Option(help: ArgumentHelp("How long to ask at most.", valueName: "seconds"))
    var timeout = 5

    func validate() throws {
        guard (1...3600).contains(timeout) else {
            throw ValidationError("The timeout is \(timeout), but must be from 1 to 3600 seconds.")
        }
    }

    func run() throws {
        let findings: Findings
        do throws(ClientError) {
            var configuration = Client.Configuration()
            configuration.patience = -1
            configuration.deadline = .now + .seconds(timeout)
            findings = try Findings(Client(path: socket, configuration: configuration))
        } catch {
            throw Failure(error, socket)
        }
        print(json ? findings.json.prettyText : findings.text(of: socket, withBytes: hex))
    }
}

extension Failure {
    /// What went wrong with the server at `socket`.
    fileprivate init(_ error: ClientError, _ socket: String) {
        switch error {
        case .system(.noSuchFileOrDirectory), .system(.notDirectory):
            self.init(.noInput, "There is no socket at '\(socket)'.")
        case .system(.permissionDenied):
            self.init(.noPermission, "You may not connect to '\(socket)': its permissions don't allow it.")
        case .system(.connectionRefused):
            self.init(.unavailable, "Nobody listens at '\(socket)'.")
        case .system(.fileNameTooLong):
            self.init(.usage, "'\(socket)' is too long for a socket's path: at most 107 bytes.")
        case .refused(_, .resourceBusy):
            self.init(
                .unavailable,
                "The device at '\(socket)' is in use by another client, such as a virtual machine: stop that first, "
                    + "or ask the device process with 'mediated info' and 'mediated statistics'.")
        case .timedOut(.version):
            // Some servers leave a second client waiting until the first one has gone.
            self.init(
                .unavailable,
                "The server at '\(socket)' does not answer: it hangs, is in use by another client, such as a virtual "
                    + "machine, or is no vfio-user server.")
        case .refused, .disconnected, .timedOut, .unavailable:
            self.init(.unavailable, "The device at '\(socket)' can't be inspected. \(error)")
        case .malformed, .version:
            self.init(.protocol, "What listens at '\(socket)' is no vfio-user server of version 0.0. \(error)")
        case .system:
            self.init(.io, "The connection to '\(socket)' failed. \(error)")
        }
    }
}
