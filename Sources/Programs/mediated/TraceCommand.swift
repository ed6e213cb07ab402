import ArgumentParser
import Control
import DeviceCatalog
import Glibc
import Linux
import Trace

/// `mediated trace`
struct TraceCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "trace",
        abstract: "Show what passes between a guest and its device, as it happens.",
        discussion: """
            Each access to a register with its name and bits, each doorbell, DMA transfer, interrupt, request in a virtqueue, \
            event, and what else the device knows of the world: a line each, until interrupted. The device waits for nobody: \
            who reads too slowly is told how much was missed. Nothing has to be restarted for it.

            A filter has terms that all must hold, such as 'read|write bar=0 offset=0x10..0x1f', 'register=command', \
            'dma-write', 'value=0..3', 'way=ring', 'queue=0', 'command=RESOURCE_FLUSH', 'name=line'. A wrong one is answered \
            with what can stand there.

            What a guest reads and writes in memory that it has mapped passes nobody, and can't be seen.

            On a terminal lines are coloured, unless the environment has NO_COLOR.
            """)

    @OptionGroup var target: ControlOptions

    @Option(help: ArgumentHelp("Show only what fits.", valueName: "filter"))
    var only = ""

    @Option(help: "End after so many events.")
    var count: Int?

    @Option(help: "End after so many seconds.")
    var seconds: Double?

    @Option(
        help: ArgumentHelp(
            """
            Show only what came later: so long ago (10s, 500ms, 5m), a time of day in UTC (19:32:52), or one with its \
            date (2026-01-31T19:32:52Z). What the device process has kept since then comes first.
            """, valueName: "time"))
    var since: String?

    @Flag(
        help: "Print at the end what all events say together: rates, hot registers, how long they took, sizes of DMA.")
    var summary = false

    @Flag(help: "Show what the flight recorder has kept until now, also of a process that died, and end.")
    var recorded = false

    @Flag(help: "With --recorded: go on with what comes.")
    var follow = false

    @Option(
        help: ArgumentHelp(
            "Write the events to a file that ui.perfetto.dev shows, as Trace Event JSON, instead of printing them.",
            valueName: "file"), completion: .file())
    var perfetto: String?

    @Option(
        help: ArgumentHelp(
            "Draw how much happened when as an SVG picture, instead of printing the events.", valueName: "file.svg"),
        completion: .file())
    var plot: String?

    @Flag(help: "Print JSON: an object on each line.")
    var json = false

    /// Whether events are printed, and not only counted or written to files.
    var showsLines: Bool { json || !summary && perfetto == nil && plot == nil }

    /// From when on events are shown, in nanoseconds since 1970.
    var start: UInt64 {
        get throws(Moment.Problem) {
            guard let since else { return 0 }
            return try Moment.nanoseconds(since, now: SystemClock.nanosecondsSinceEpoch)
        }
    }

    func validate() throws {
        if let count, count < 1 { throw ValidationError("The count is \(count), but must be 1 or more.") }
        if let seconds, !(0.001...1e9).contains(seconds) {
            throw ValidationError("The seconds are \(seconds), but must be from 0.001 to 1e9.")
        }
        guard !recorded || follow || seconds == nil else {
            throw ValidationError(
                "--recorded shows what is there already; leave --seconds out, or give --follow, too.")
        }
        guard recorded || !follow else {
            throw ValidationError("A trace goes on with what comes anyway; --follow is for --recorded.")
        }
        guard !(json && summary) else { throw ValidationError("--summary is for people; leave --json out.") }
        do throws(Moment.Problem) { _ = try start } catch { throw ValidationError(error.description) }
        do throws(EventFilter.Problem) { _ = try EventFilter(only) } catch {
            let mark = String(repeating: " ", count: error.position) + "^"
            throw ValidationError("\(error.description)\n  \(only.printableLine)\n  \(mark)")
        }
    }

    func run() throws {
        if recorded {
            guard follow else { return try showRecorded() }
            try showDead()
        }
        // Before anything is watched: what was seen until then is shown.
        let signals = try SignalFD([SIGINT, SIGTERM])
        try target.withClient { client in
            // Without a recorder there is nothing to go on from.
            if recorded { _ = try client.recorder() }
            let traced = try client.trace(from: recorded || since != nil ? .oldest : .next)
            tellMappedParts(traced.mapped)
            let names = names(ofType: traced.type, configuration: traced.configuration)
            let files = try TraceFiles(self, names, ofType: traced.type)
            var watcher = try TraceWatcher(traced.events, names, self, files: files)
            let end = Deadline(after: seconds.map { .seconds($0) })
            var hasEnded = false
            while !watcher.isEnough, !end.hasPassed, !hasEnded {
                // A guest may make events faster than they are shown: whoever wants to end this is heard between two
                // looks.
                let pause = try watcher.look() ? .zero : min(Self.pace, end.left ?? Self.pace)
                let woken = try client.wait(for: signals.descriptor, within: pause)
                if woken.isReady { break }
                hasEnded = woken.isOver
            }
            try watcher.finish(theWriterHasEnded: hasEnded)
            try files?.finish()
        }
    }

    /// How long it looks away when nothing is left to be read: nobody signals each event.
    private static let pace = Duration.milliseconds(50)

    /// - Parameter configuration: the bytes of configuration space; empty when they aren't known.
    func names(ofType type: String, configuration: [UInt8] = []) -> RegisterNames {
        let registers = DeviceCatalog.types.first { $0.name == type }?.registers ?? []
        return RegisterNames(registers, configuration: configuration, ofType: type)
    }

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
