import ArgumentParser
import Glibc
import Linux

/// `mediated top`
struct Top: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Show what vGPUs are doing, again and again.",
        discussion: """
            A line for each: who it is, whether a client has it, and per second: register accesses, those by the access \
            ring, DMA, interrupts, frames. Then its video memory, and the processor time and memory of its process. \
            q ends it; the last line tells the other keys.
            """)

    @OptionGroup var target: WatchedProcesses

    @Option(help: ArgumentHelp("Time between two looks.", valueName: "seconds"))
    var interval = 2.0

    @Flag(help: "Print one table, after one interval.")
    var once = false

    /// How long a process may take to answer, in milliseconds.
    static let patience = 2000

    func validate() throws {
        guard (0.1...3600).contains(interval) else {
            throw ValidationError("The interval is \(interval), but must be from 0.1 to 3600 seconds.")
        }
    }

    func run() throws {
        do throws(Errno) {
            if !once {
                var screen = try TopScreen(target.sockets, interval: interval)
                return try screen.run()
            }
        } catch .inappropriateIOCTLForDevice {
            throw Failure(.usage, "Standard output is no terminal; with --once one table is printed.")
        } catch {
            throw Failure(.io, "The terminal can't be used: \(error).")
        }
        try printOnce()
    }

    private func printOnce() throws {
        var vgpus = target.sockets.map { ObservedVGPU($0) }
        let end = Deadline(milliseconds: Int32(interval * 1000))
        for look in 0..<2 {
            if look > 0 { _ = try waitReadable([], milliseconds: end.millisecondsLeft) }
            let observations = try Observation.all(asking: target.sockets, milliseconds: Self.patience)
            for (index, observation) in observations.enumerated() { vgpus[index].add(observation) }
        }
        for line in TopTable(rows: vgpus.map(TopRow.init)).lines() { print(line) }
        try vgpus.compactMap(\.now).tellFailures()
    }
}
