import ArgumentParser
import DaemonAPI
import DaemonClient
import Glibc
import Linux
import Mediation

/// `mediated logs`
struct Logs: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Print the log of a vGPU's device processes.")

    @OptionGroup var vgpu: VGPUArgument

    @Option(name: [.customShort("n"), .long], help: "How many lines, from the end.")
    var lines = 100

    @Flag(name: [.customShort("f"), .long], help: "Go on with what is written from now on, until interrupted.")
    var follow = false

    @OptionGroup var daemon: DaemonOptions

    /// Between two looks.
    private static let pause = Duration.milliseconds(250)

    func validate() throws {
        _ = try vgpu.required()
        guard (1...10_000).contains(lines) else {
            throw ValidationError("The lines are \(lines), but must be from 1 to 10000.")
        }
    }

    func run() throws {
        let id = try vgpu.required()
        try daemon.ask { client throws(DaemonClientError) in
            var log: LogLines = try client.get("/v1/vgpus/\(id)/log?lines=\(lines)")
            while true {
                for line in log.lines { Output.print(line.excerpt) }
                guard follow else { return }
                // Whoever follows wants to see it at once.
                fflush(nil)
                _ = try? waitReadable([], within: Self.pause)
                log = try client.get("/v1/vgpus/\(id)/log?after=\(log.end)&lines=10000")
            }
        }
    }
}
