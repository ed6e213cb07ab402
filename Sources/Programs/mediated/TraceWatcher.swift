import Device
import DeviceCatalog
import Glibc
import JSON
import Tap
import Trace

/// Shows a recorder's events as a ``TraceCommand`` wants them.
struct TraceWatcher {
    private let events: EventReader
    private let names: RegisterNames
    private let filter: EventFilter
    private let command: TraceCommand
    private let text: EventText
    private var summary: EventSummary
    /// How many events were shown.
    private(set) var shown: Int
    private var missed: UInt64 = 0

    /// How many are looked at before whoever wants to end this is heard.
    private static let batch = 4096

    /// - Parameters:
    ///   - type: the device's, whose registers have names.
    ///   - configuration: the bytes of its configuration space; empty when they aren't known.
    ///   - shown: how many events of others count as shown.
    /// - Throws: `EventFilter.Problem` for the command's filter.
    init(
        _ events: EventReader, ofType type: String, _ command: TraceCommand, configuration: [UInt8] = [],
        shown: Int = 0
    ) throws {
        let registers = DeviceCatalog.types.first { $0.name == type }?.registers ?? []
        self.events = events
        self.command = command
        self.shown = shown
        names = RegisterNames(registers, configuration: configuration, ofType: type)
        filter = try EventFilter(command.only)
        text = EventText(names, clock: events.clock)
        summary = EventSummary(names)
        if !command.json, !command.summary { Output.print(EventText.heading) }
    }

    /// Whether that is as much as was asked for.
    var isEnough: Bool { command.count.map { shown >= $0 } ?? false }

    /// Shows some of what has come.
    ///
    /// - Returns: whether more is there.
    mutating func look() -> Bool {
        defer { fflush(nil) }
        let before = events.position
        show(events.read(upTo: Self.batch))
        tellMissed()
        return events.position > before && events.position < events.written
    }

    /// Shows what had come until now, and the summary.
    ///
    /// - Parameter theWriterHasEnded: what an access has led to that was never over is shown, too.
    mutating func finish(theWriterHasEnded: Bool) {
        let end = events.written
        while events.position < end, !isEnough, look() {}
        if theWriterHasEnded { show(events.readUnfinished()) }
        if command.summary { Output.print(paragraphs: summary.text()) }
        fflush(nil)
    }

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
