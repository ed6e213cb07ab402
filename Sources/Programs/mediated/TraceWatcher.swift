import Glibc
import JSON
import Linux
import Tap
import Trace

/// Shows a recorder's events as a ``TraceCommand`` wants them.
struct TraceWatcher {
    private let events: EventReader
    private let names: RegisterNames
    private let filter: EventFilter
    private let command: TraceCommand
    private let text: EventText
    private let files: TraceFiles?
    private let isColored: Bool
    /// Before this, in nanoseconds since 1970, nothing is shown.
    private let start: UInt64
    private var summary: EventSummary
    /// How many events were shown.
    private(set) var shown: Int
    private var missed: UInt64 = 0

    /// How many are looked at before whoever wants to end this is heard.
    private static let batch = 4096

    /// - Parameters:
    ///   - names: of the device's registers and queues.
    ///   - files: where the events go, too.
    ///   - shown: how many events of others count as shown.
    /// - Throws: `EventFilter.Problem` for the command's filter, `Moment.Problem` for its time.
    init(
        _ events: EventReader, _ names: RegisterNames, _ command: TraceCommand, files: TraceFiles?, shown: Int = 0
    ) throws {
        self.events = events
        self.names = names
        self.command = command
        self.files = files
        self.shown = shown
        isColored = Output.isColored
        filter = try EventFilter(command.only)
        start = try command.start
        text = EventText(names, clock: events.clock)
        summary = EventSummary(names)
        if command.showsLines, !command.json { Output.print(EventText.heading) }
    }

    /// Whether that is as much as was asked for.
    var isEnough: Bool { command.count.map { shown >= $0 } ?? false }

    /// Shows some of what has come.
    ///
    /// - Returns: whether more is there.
    mutating func look() throws -> Bool {
        defer { fflush(nil) }
        let before = events.position
        let new = events.read(upTo: Self.batch)
        // They were missed before these.
        tellMissed(before: new.first)
        try show(new)
        return events.position > before && events.position < events.written
    }

    /// Shows what had come until now, and the summary.
    ///
    /// - Parameter theWriterHasEnded: what an access has led to that was never over is shown, too.
    mutating func finish(theWriterHasEnded: Bool) throws {
        let end = events.written
        while events.position < end, !isEnough, try look() {}
        if theWriterHasEnded { try show(events.readUnfinished()) }
        if command.summary { Output.print(paragraphs: summary.text()) }
        fflush(nil)
    }

    private mutating func show(_ new: [Event]) throws {
        for event in new where !isEnough && event.time &+ events.clock >= start && filter.matches(event, names) {
            shown += 1
            try show(event)
        }
    }

    private mutating func show(_ event: Event) throws {
        try files?.add(event, clock: events.clock)
        if command.summary { summary.add(event) }
        guard command.showsLines else { return }
        if command.json {
            Output.print(json: text.json(event), onOneLine: true)
        } else if isColored {
            Output.print(text.pieces(event).map { ($0.text, $0.style.code) })
        } else {
            Output.print(text.line(event))
        }
    }

    private mutating func tellMissed(before event: Event?) {
        let new = events.missed - missed
        guard new > 0 else { return }
        missed = events.missed
        summary.miss(new)
        files?.miss(new, before: event, clock: events.clock)
        guard command.showsLines else {
            if !command.summary {
                StandardError.print("mediated: \(new) events were overwritten before they were read.")
            }
            return
        }
        if command.json {
            Output.print(json: ["missed": JSON(new)], onOneLine: true)
        } else {
            Output.print("… \(new) events were overwritten before they were read.")
        }
    }
}

extension EventText.Style {
    /// What a terminal is told, by ECMA-48's Select Graphic Rendition; nil for its usual colour.
    fileprivate var code: Int? {
        switch self {
        case .plain: nil
        case .faint: 2
        case .read: 36
        case .write: 33
        case .memory: 34
        case .fault: 31
        case .interrupt: 35
        case .queue: 32
        }
    }
}
