import ArgumentParser
import Control
import DaemonClient
import Device
import DeviceCatalog
import Glibc
import JSON
import Linux
import Mediation
import Tap
import Trace

/// `mediated trace`
struct TraceCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "trace",
        abstract: "Show what passes between a guest and its device, as it happens.",
        discussion: """
            Each access to a register with its name, each doorbell, DMA transfer, interrupt, event, and what else the device \
            knows of the world: a line each, until interrupted. The device waits for nobody: who reads too slowly is told \
            how much was missed. Nothing has to be restarted for it, and when nobody watches it costs nothing.

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
            throw ValidationError("The seconds are \(seconds), but must be from 0.001 on.")
        }
        guard !(json && summary) else { throw ValidationError("--summary is for people; leave --json out.") }
        do throws(EventFilter.Problem) { _ = try EventFilter(only) } catch {
            let mark = String(repeating: " ", count: error.position) + "^"
            throw ValidationError("\(error.description)\n  \(only.printableLine)\n  \(mark)")
        }
    }

    func run() throws {
        if recorded { return try showRecorded() }
        let filter = try EventFilter(only)
        // Before anything is watched: what was seen until then is shown.
        let signals = try SignalFD([SIGINT, SIGTERM])
        try target.withClient { client in
            let traced = try client.trace()
            tellMappedParts(traced.mapped)
            var watcher = Watcher(traced.events, Self.names(ofType: traced.type), filter, self)
            let end = Deadline(after: seconds.map { .seconds($0) })
            while watcher.look(), !end.hasPassed {
                let woken = try client.wait(for: signals.descriptor, within: min(Self.pace, end.left ?? Self.pace))
                if woken.isOver || woken.isReady { break }
            }
            watcher.finish()
        }
    }

    private static func names(ofType type: String) -> RegisterNames {
        RegisterNames(DeviceCatalog.types.first { $0.name == type }?.registers ?? [])
    }

    private func showRecorded() throws {
        let filter = try EventFilter(only)
        guard let id = InstanceID(target.socket) else {
            return try target.withClient { client in
                let traced = try client.trace(from: .oldest)
                var watcher = Watcher(traced.events, Self.names(ofType: traced.type), filter, self)
                watcher.finish()
            }
        }
        try target.daemon.ask { client throws(DaemonClientError) in
            // The vGPU's type may be an administrator's own. Its device process, if there is one, names its device.
            let vgpu = try client.vgpu(id)
            let info = try? client.get("/v1/vgpus/\(id)/info", as: ControlInfo.self)
            let names = Self.names(ofType: info?.type ?? vgpu.type)
            var shown: Watcher?
            for whose in ["dead", "running"] {
                let bytes: [UInt8]
                do throws(DaemonClientError) {
                    bytes = try client.bytes("/v1/vgpus/\(id)/recorder?of=\(whose)")
                } catch {
                    // Of a process that died, or that runs, there need be none.
                    if whose == "running", shown == nil { throw error }
                    continue
                }
                guard let events = try? EventReader(copyOf: bytes) else { throw .malformed("no recorder's memory") }
                if whose == "dead", !json { Output.print("Of the device process that died:") }
                if whose == "running", shown != nil, !json { Output.print("Of the device process that runs now:") }
                var watcher = Watcher(events, names, filter, self)
                watcher.finish()
                shown = watcher
            }
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

    /// Shows events as they come.
    private struct Watcher {
        private let events: EventReader
        private let names: RegisterNames
        private let filter: EventFilter
        private let command: TraceCommand
        private let text: EventText
        private var summary: EventSummary
        private var shown = 0
        private var missed: UInt64 = 0

        /// How many are read at once.
        private static let batch = 4096

        init(_ events: EventReader, _ names: RegisterNames, _ filter: EventFilter, _ command: TraceCommand) {
            self.events = events
            self.names = names
            self.filter = filter
            self.command = command
            text = EventText(names, clock: events.clock)
            summary = EventSummary(names)
            if !command.json, !command.summary { Output.print(EventText.heading) }
        }

        /// Shows all that has come.
        ///
        /// - Returns: false when that is as much as was asked for.
        mutating func look() -> Bool {
            defer { fflush(nil) }
            var new: [Event]
            repeat {
                new = events.read(upTo: Self.batch)
                tellMissed()
                show(new)
            } while new.count == Self.batch && !isEnough
            return !isEnough
        }

        /// What came last, what an access has led to whose device ended amid it, and the summary.
        mutating func finish() {
            if look() { show(events.readUnfinished()) }
            if command.summary { Output.print(paragraphs: summary.text()) }
            fflush(nil)
        }

        private var isEnough: Bool { command.count.map { shown >= $0 } ?? false }

        private mutating func show(_ new: [Event]) {
            for event in new where !isEnough && filter.matches(event, names) {
                shown += 1
                show(event)
            }
        }

        private mutating func show(_ event: Event) {
            if command.summary {
                summary.add(event)
            } else if command.json {
                Output.print(json: text.json(event), onOneLine: true)
            } else {
                Output.print(text.line(event))
            }
        }

        private mutating func tellMissed() {
            let new = events.missed - missed
            guard new > 0 else { return }
            missed = events.missed
            summary.missed = missed
            if command.json {
                Output.print(json: ["missed": JSON(new)], onOneLine: true)
            } else if !command.summary {
                Output.print("… \(new) events were overwritten before they were read.")
            }
        }
    }
}

extension String {
    /// As the user wrote it, on one line.
    fileprivate var printableLine: String { String(map { $0.isNewline ? " " : $0 }) }
}
