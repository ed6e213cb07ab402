import Control
import DeviceCatalog
import JSON
import Linux
import Tap
import Trace

/// What a device process was about when it died, by the memory of its flight recorder.
struct LastEvents {
    private let events: [Event]
    /// How many of them belong to an access that was never over.
    private let unfinished: Int
    private let text: EventText
    /// Whether the process has ended in good order instead.
    let isInOrder: Bool

    /// How many there are at most.
    private static let limit = 5

    /// - Parameters:
    ///   - memory: a copy of the recorder's.
    ///   - type: the device's.
    /// - Throws: `.invalidArgument` for what no recorder has written.
    init(_ memory: [UInt8], ofType type: String) throws(Errno) {
        let reader = try EventReader(copyOf: memory)
        var events: [Event] = []
        var last: Event?
        let end = reader.written
        while reader.position < end {
            let before = reader.position
            let new = reader.read(upTo: 1024)
            last = new.last ?? last
            events = (events + new.filter(Self.isTelling)).suffix(Self.limit)
            guard reader.position > before else { break }
        }
        let inHand = reader.readUnfinished()
        isInOrder = inHand.isEmpty && last?.kind == .event && last?.name == EventRecorder.orderlyEnd
        unfinished = min(inHand.count, Self.limit)
        self.events = (events + inHand).suffix(Self.limit)
        let registers = DeviceCatalog.types.first { $0.name == type }?.registers ?? []
        text = EventText(RegisterNames(registers, ofType: type), clock: reader.clock)
    }

    /// The loop has an event for all that the process does, and most have to do with a clock.
    private static func isTelling(_ event: Event) -> Bool { event.kind != .event && event.kind != .clock }

    /// A line for each, the last one last. Those of an access that was never over say so.
    var lines: [String] {
        events.enumerated().map { index, event in
            text.line(event) + (index >= events.count - unfinished ? "  (in hand)" : "")
        }
    }

    var json: JSON { .array(events.map { text.json($0) }) }
}
