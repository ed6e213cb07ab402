import ArgumentParser
import Control
import Glibc
import Linux
import Trace

/// `mediated trace`
struct TraceCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "trace",
        abstract: "Show what passes between a guest and its device, as it happens.",
        discussion: """
            Each access to a register with its name, each doorbell, DMA transfer, interrupt, event, and what else the device \
            knows of the world: a line each, until interrupted. The device waits for nobody: who reads too slowly is told \
            how much was missed. Nothing has to be restarted for it.

            A filter has terms that all must hold, such as 'read|write bar=0 offset=0x10..0x1f', 'register=command', \
            'dma-write', 'value=0..3', 'way=ring', 'name=line'. A wrong one is answered with what can stand there.

            What a guest reads and writes in memory that it has mapped passes nobody, and can't be seen.
            """)

    @OptionGroup var target: ControlOptions

    @Option(help: ArgumentHelp("Show only what fits.", valueName: "filter"))
    var only = ""

    @Option(help: "End after so many events.")
    var count: Int?

    @Option(help: "End after so many seconds.")
    var seconds: Double?

    @Flag(
        help: "Print at the end what all events say together: rates, hot registers, how long they took, sizes of DMA.")
    var summary = false

    @Flag(help: "Show the events that were recorded until now, and those of a vGPU's process that died, and end.")
    var recorded = false

    @Flag(help: "Print JSON: an object on each line.")
    var json = false

    func validate() throws {
        if let count, count < 1 { throw ValidationError("The count is \(count), but must be 1 or more.") }
        if let seconds, !(0.001...1e9).contains(seconds) {
            throw ValidationError("The seconds are \(seconds), but must be from 0.001 to 1e9.")
        }
        guard !recorded || seconds == nil else {
            throw ValidationError("--recorded shows what is there already; leave --seconds out.")
        }
        guard !(json && summary) else { throw ValidationError("--summary is for people; leave --json out.") }
        do throws(EventFilter.Problem) { _ = try EventFilter(only) } catch {
            let mark = String(repeating: " ", count: error.position) + "^"
            throw ValidationError("\(error.description)\n  \(only.printableLine)\n  \(mark)")
        }
    }

    func run() throws {
        if recorded { return try showRecorded() }
        // Before anything is watched: what was seen until then is shown.
        let signals = try SignalFD([SIGINT, SIGTERM])
        try target.withClient { client in
            let traced = try client.trace()
            tellMappedParts(traced.mapped)
            var watcher = try TraceWatcher(traced.events, ofType: traced.type, self)
            let end = Deadline(after: seconds.map { .seconds($0) })
            var hasEnded = false
            while !watcher.isEnough, !end.hasPassed, !hasEnded {
                // A guest may make events faster than they are shown: whoever wants to end this is heard between two
                // looks.
                let pause = watcher.look() ? .zero : min(Self.pace, end.left ?? Self.pace)
                let woken = try client.wait(for: signals.descriptor, within: pause)
                if woken.isReady { break }
                hasEnded = woken.isOver
            }
            watcher.finish(theWriterHasEnded: hasEnded)
        }
    }

    /// How long it looks away when nothing is left to be read: nobody signals each event.
    private static let pace = Duration.milliseconds(50)

    private func tellMappedParts(_ parts: [MappedPart]) {
        guard !json else { return }
        for part in parts {
            StandardError.print(
                "mediated: Accesses to BAR \(part.bar) from 0x\(String(part.start, radix: 16)) to "
                    + "0x\(String(part.end - 1, radix: 16)) can't be seen: the guest may have that mapped.")
        }
    }
}

extension String {
    /// As the user wrote it, on one line.
    var printableLine: String { String(map { $0.isNewline ? " " : $0 }) }
}
