import ArgumentParser
import DaemonClient
import Glibc
import Linux

/// `mediated top`
struct Top: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Show what vGPUs are doing, again and again.",
        discussion: """
            Of those that were named, or all that the daemon runs. \
            A line for each: who it is, whether a client has it, and per second: register accesses, those by the access \
            ring, DMA, interrupts, frames. Then its video memory, and the processor time and memory of its process. \
            q ends it; the last line tells the other keys.
            """)

    @OptionGroup var target: WatchedProcesses

    @Option(help: ArgumentHelp("Time between two looks.", valueName: "seconds"))
    var interval = 2.0

    @Flag(help: "Print one table, after one interval.")
    var once = false

    /// How long a process may take to answer.
    static let patience = Duration.seconds(2)

    func validate() throws {
        guard (0.1...3600).contains(interval) else {
            throw ValidationError("The interval is \(interval), but must be from 0.1 to 3600 seconds.")
        }
    }

    func run() throws {
        guard !once else { return try printOnce(lookouts()) }
        do {
            // The screen comes first: to ask a daemon takes a thread.
            var screen = try TopScreen(interval: interval)
            try screen.run(lookouts())
        } catch let error as Errno {
            guard error != .inappropriateIOCTLForDevice else {
                throw Failure(.usage, "Standard output is no terminal; with --once one table is printed.")
            }
            throw Failure(.io, "The live view can't be shown: \(error).")
        }
    }

    /// One for each that was named, so that none waits for another; else one for the daemon.
    private func lookouts() throws(Failure) -> [Lookout] {
        let named = try target.named()
        guard named.isEmpty else { return named.map { Lookout([$0]) } }
        return [try target.daemon.ask { client throws(DaemonClientError) in try Lookout(daemon: client.path) }]
    }

    private func printOnce(_ lookouts: [Lookout]) throws {
        var lookouts = lookouts
        // All at the same time.
        if lookouts.count > 1 { lookouts = [Lookout(lookouts.flatMap(\.vgpus).map(\.watched))] }
        let end = Deadline(after: .seconds(interval))
        for look in 0..<2 {
            if look > 0 { _ = try? waitReadable([], within: end.left) }
            for index in lookouts.indices { lookouts[index].look(within: Self.patience) }
        }
        let vgpus = lookouts.flatMap(\.vgpus)
        Output.print(TopTable(rows: vgpus.map(TopRow.init)).lines())
        try vgpus.compactMap(\.now).tellFailures()
    }
}
