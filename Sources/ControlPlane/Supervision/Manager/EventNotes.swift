import Control
import Linux
import Mediation

/// What the journal takes of a device process's events: no more than its allowance, as its client can make it tell any
/// number of things, and it may be of no good will itself.
final class EventNotes: Sendable {
    private let id: InstanceID
    private let known: Double
    private let allowance = Locked(Allowance(20, at: SystemClock.nanoseconds))

    /// - Parameter known: what happened until then is in the journal already.
    init(of id: InstanceID, after known: Double) {
        self.id = id
        self.known = known
    }

    func entries(of events: ControlEvents) -> [JournalEntry] {
        let now = SystemClock.secondsSinceEpoch
        var entries: [JournalEntry] = []
        for event in events.events.suffix(EventLog.capacity) where event.time > known {
            guard let entry = JournalEntry(event, of: id, until: now) else { continue }
            let omitted = allowance.withLock { allowance -> Int? in
                let refused = allowance.refused
                return allowance.take(at: SystemClock.nanoseconds) ? refused : nil
            }
            guard let omitted else { continue }
            if omitted > 0 {
                entries.append(
                    JournalEntry(
                        time: entry.time, instance: id, kind: JournalEntry.Kind.omitted.rawValue,
                        message: "\(omitted) events of the device process were left out."))
            }
            entries.append(entry)
        }
        return entries
    }

    /// What became of the client; nil: nothing that matters.
    func client(in events: ControlEvents) -> (isThere: Bool, hasLeft: Bool)? {
        let kinds = events.events.suffix(EventLog.capacity).compactMap { ControlEvent.Kind(rawValue: $0.kind) }
        guard let last = kinds.last(where: { $0 == .clientConnected || $0 == .clientLeft }) else { return nil }
        return (last == .clientConnected, kinds.contains(.clientLeft))
    }
}

extension JournalEntry {
    /// What a device process tells; nil for what only a manager says, and for what is no kind of event.
    fileprivate init?(_ event: ControlEvent, of id: InstanceID, until now: Double) {
        if ControlEvent.Kind(rawValue: event.kind) == nil {
            // One that a later version knows.
            guard Kind(rawValue: event.kind) == nil, (1...32).contains(event.kind.utf8.count),
                event.kind.utf8.allSatisfy({ $0 == UInt8(ascii: "-") || (UInt8(ascii: "a")...UInt8(ascii: "z")) ~= $0 })
            else { return nil }
        }
        self.init(time: min(max(0, event.time), now), instance: id, kind: event.kind, message: event.message)
    }
}
