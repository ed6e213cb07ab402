import ArgumentParser

/// `mediated env`
struct EnvCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "env",
        abstract: "Print the variables by which programs find a vGPU, for a shell or a container.",
        discussion: """
            As in: eval "$(mediated env SOCKET)". Every program that is started with these variables, and Mesa from \
            24.1 on, draws on the vGPU. A container needs the socket, too: with an older Mesa at /tmp/.virgl_test.

            What drives the vGPU for the programs stays until the vGPU ends or --end says that it is needed no more.
            """)

    @Argument(
        help: "The vfio-user socket of a device process on this host, or the UUID of a vGPU that the daemon keeps.",
        completion: .file())
    var vgpu: String

    @Flag(help: "Print nothing: what drives the vGPU ends when its last program has ended.")
    var end = false

    @OptionGroup var daemon: DaemonOptions

    func run() throws {
        let socket = try daemon.socketPath(of: vgpu)
        if end {
            try BridgeConnection.existing(ofVGPU: socket)?.setStays(false)
            return
        }
        let bridge = try BridgeConnection.open(toVGPU: socket)
        try bridge.setStays(true)
        for (name, value) in bridge.environment { Output.print("export \(name)=\(value.shellQuoted)") }
    }
}
