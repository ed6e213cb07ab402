import ArgumentParser
import Linux
import Mediation
import VFIO
import VFIOUserClient

/// `mediated inspect`
struct Inspect: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Connect as a vfio-user client and print what a server offers.",
        discussion: """
            Works with any vfio-user server, and prints in the manner of 'lspci -vv'. Nothing is changed, but most \
            servers take one client at a time: a device that is in use can't be inspected.
            """)

    @Argument(help: "The server's socket, or a vGPU's UUID.", completion: .file())
    var socket: String

    @Flag(name: [.customShort("x"), .long], help: "Add all bytes of configuration space, as 'lspci -xxxx' does.")
    var hex = false

    @Flag(help: "Print JSON.")
    var json = false

    @Option(help: ArgumentHelp("How long to ask at most.", valueName: "seconds"))
    var timeout = 5

    @OptionGroup var daemon: DaemonOptions

    func validate() throws {
        guard (1...3600).contains(timeout) else {
            throw ValidationError("The timeout is \(timeout), but must be from 1 to 3600 seconds.")
        }
    }

    func run() throws {
        let findings: Findings
        let socket = InstanceID(socket) == nil ? socket : try daemon.socketPath(of: socket)
        do throws(ClientError) {
            var configuration = Client.Configuration()
            configuration.patience = nil
            configuration.deadline = .now + .seconds(timeout)
            findings = try Findings(Client(path: socket, configuration: configuration))
        } catch {
            throw Failure(error, socket, purpose: "inspected")
        }
        if json {
            Output.print(json: findings.json)
        } else {
            Output.print(findings.lines(of: socket, withBytes: hex))
        }
    }
}
