import JSON
import Tap

/// Events as `ui.perfetto.dev` and Chrome show them: a lane for each region, direction, queue and worker.
///
/// The format is the JSON one of "Trace Event Format", which Perfetto reads: an object whose member `traceEvents` is a
/// list. It is made piece by piece, and never in memory as a whole.
public struct PerfettoTrace: Sendable {
    private let text: EventText
    private let names: RegisterNames
    private var first: UInt64?
    private var lanes: [TimelineItem.Lane: Lane] = [:]

    private struct Lane {
        let number: Int
        /// How often something has begun, and ended: the first that begins is the first that ends.
        var begun: UInt64 = 0
        var ended: UInt64 = 0
    }

    /// As many lanes as there are at most: whoever writes a recorder's memory can make names.
    private static let maximumLanes = 64

    /// - Parameters:
    ///   - names: of the device's registers and queues.
    ///   - clock: what makes nanoseconds since 1970 of an event's time.
    public init(_ names: RegisterNames, clock: UInt64) {
        text = EventText(names, clock: clock)
        self.names = names
    }

    /// What the file begins with.
    ///
    /// - Parameter title: of the whole.
    public static func beginning(_ title: String) -> String {
        let name: JSON = [
            "ph": "M", "name": "process_name", "pid": 1, "tid": 0, "args": ["name": .string(title)],
        ]
        return "{\"displayTimeUnit\":\"ns\",\"traceEvents\":[\n\(name.text)"
    }

    /// What it ends with.
    public static let end = "\n]}\n"

    /// What an event adds: some lines, each with the comma that goes before it.
    public mutating func lines(_ event: Event) -> String {
        let item = TimelineItem(event, names)
        let start = first ?? event.time
        first = start
        var known = item.lane
        if lanes[known] == nil, lanes.count >= Self.maximumLanes { known = .init(name: "all else", style: .plain) }
        var added = ""
        if lanes[known] == nil {
            lanes[known] = Lane(number: lanes.count + 1)
            added += Self.line(metadata(known))
        }
        guard var lane = lanes[known] else { return added }
        defer { lanes[known] = lane }
        var members: JSON.Object = [
            "name": .string(item.name), "cat": .string(event.kind.word), "pid": 1, "tid": JSON(lane.number),
            "ts": .number(Self.microseconds(event.time >= start ? event.time - start : 0)), "args": text.json(event),
        ]
        switch item.shape {
        case .moment: (members["ph"], members["s"]) = ("i", "t")
        case .span(let nanoseconds):
            (members["ph"], members["dur"]) = ("X", .number(Self.microseconds(nanoseconds)))
        case .begin:
            (members["ph"], members["id"]) = ("b", .string(Self.id(known, lane.begun)))
            lane.begun &+= 1
            members["cat"] = .string(known.name)
        case .end:
            // What began before anybody looked.
            guard lane.ended < lane.begun else { return added }
            (members["ph"], members["id"]) = ("e", .string(Self.id(known, lane.ended)))
            lane.ended &+= 1
            members["cat"] = .string(known.name)
        }
        return added + Self.line(.object(members))
    }

    /// So many events were missed here: nobody knows which requests were answered.
    public mutating func missed(_ count: UInt64, before time: UInt64) -> String {
        lanes = lanes.mapValues { lane in
            var lane = lane
            lane.ended = lane.begun
            return lane
        }
        let start = first ?? time
        first = start
        return Self.line([
            "ph": "i", "s": "g", "name": .string("\(count) events were missed"), "cat": "missed", "pid": 1, "tid": 0,
            "ts": .number(Self.microseconds(time >= start ? time - start : 0)),
        ])
    }

    private func metadata(_ lane: TimelineItem.Lane) -> JSON {
        [
            "ph": "M", "name": "thread_name", "pid": 1, "tid": JSON(lanes[lane]?.number ?? 0),
            "args": ["name": .string(lane.name)],
        ]
    }

    private static func line(_ json: JSON) -> String { ",\n\(json.text)" }

    private static func id(_ lane: TimelineItem.Lane, _ number: UInt64) -> String { "\(lane.name) \(number)" }

    private static func microseconds(_ nanoseconds: UInt64) -> Double { Double(nanoseconds) / 1000 }
}
