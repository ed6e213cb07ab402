import ArgumentParser
import Control
import Daemon
import Glibc
import Linux
import Mediation

/// The program of `mediated daemon`.
@main
struct MediatedDaemon: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "mediated-daemon",
        abstract: "Keep virtual GPUs: their definitions, and the device processes of those that run.",
        discussion: """
            It serves REST on a UNIX socket, which 'mediated list' and its like use, and ends in order by SIGTERM or \
            SIGINT. The device processes go on without it, and the next daemon finds them again.

            A socket that systemd passes is used instead of one of its own, and systemd is told when it serves.

            Exit status: 0 when a signal has ended it, else
              1  it can't begin; standard error says why
              64  the command line is wrong
            """,
        version: Version.current)

    @Option(
        help: ArgumentHelp(
            "Put sockets, state and logs below one folder. [default: $MEDIATED_ROOT, or the system's folders]"),
        completion: .directory)
    var root: String?

    @Option(help: "The group whose members may tell the daemon what to do.")
    var group = "mediated"

    @Flag(help: "Don't keep the last events of vGPUs, which 'mediated trace --recorded' shows.")
    var noRecorder = false

    func run() throws {
        do {
            let directories = try Directories(root: root)
            let program = try CompanionProgram.path(of: "mediated-device")
            // A quarter of the host's memory, unless the administrator's file says it.
            let videoMemory = sysconf(Int32(_SC_PHYS_PAGES)) / 4 * sysconf(Int32(_SC_PAGESIZE))
            var configuration = Daemon.Configuration(
                directories: directories, videoMemory: videoMemory, program: program,
                hasRenderer: (try? CompanionProgram.path(of: "mediated-renderer")) != nil)
            configuration.group = group
            configuration.hasRecorders = !noRecorder
            try Daemon(configuration).run()
        } catch {
            StandardError.print("mediated-daemon: \(error)")
            throw ExitCode.failure
        }
    }
}
