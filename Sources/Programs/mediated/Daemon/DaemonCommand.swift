import ArgumentParser

/// `mediated daemon`: becomes the program that keeps vGPUs.
struct DaemonCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "daemon",
        abstract: "Keep vGPUs: their definitions, and the device processes of those that run.",
        discussion: """
            It serves the commands that list, define, start and stop vGPUs. SIGTERM and SIGINT end it in order; the device \
            processes go on without it, and the next daemon finds them again.
            """)

    @Option(
        help: ArgumentHelp(
            "Put sockets, state and logs below this folder. [default: $MEDIATED_ROOT, or the system's folders]",
            valueName: "folder"),
        completion: .directory)
    var root: String?

    @Option(help: "The group whose members may tell the daemon what to do.")
    var group = "mediated"

    func run() throws {
        try become("mediated-daemon", (root.map { ["--root", $0] } ?? []) + ["--group", group])
    }
}
