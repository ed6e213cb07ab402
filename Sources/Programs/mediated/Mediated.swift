import ArgumentParser
import Control
import Glibc
import Linux

@main
struct Mediated: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "mediated",
        abstract: "Virtual GPUs and other PCI devices for virtual machines, served over vfio-user.",
        discussion: ExitStatus.help,
        version: Version.current,
        subcommands: [
            Types.self, List.self, Define.self, Undefine.self, Modify.self, Start.self, Stop.self, Show.self, Logs.self,
            Events.self, TraceCommand.self, RecordCommand.self, ReplayCommand.self, InjectCommand.self,
            ObserveCommand.self, Top.self, MetricsCommand.self, AttachArgs.self, Attach.self, Detach.self,
            Screenshot.self, MonitorCommand.self, Info.self, Statistics.self, Inspect.self, DaemonCommand.self,
            Run.self, Save.self, KVMCommand.self, ExecCommand.self, EnvCommand.self, KeepEvents.self,
        ])

    static func main() {
        do {
            var command = try parseAsRoot()
            try command.run()
        } catch let failure as Failure {
            StandardError.print("mediated: \(failure.message.excerpt)")
            Glibc.exit(failure.status.rawValue)
        } catch {
            exit(withError: error)
        }
    }
}
