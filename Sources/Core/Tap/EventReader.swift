import Linux

/// Reads what an ``EventRecorder`` keeps, in another process or in this one, at its own pace.
///
/// The memory's writer may be hostile: all that the memory says is checked, and what is read is untrue at worst.
public final class EventReader {
    /// The next event to be read.
    public private(set) var position: UInt64
    /// How many events were missed, since they were overwritten before they were read.
    public private(set) var missed: UInt64 = 0
    /// What is added to an event's time to get nanoseconds since 1970-01-01 00:00 UTC.
    public let clock: UInt64
    private let ring: EventRing

    /// From where to read.
    public enum Start: Sendable {
        /// The oldest event that is kept.
        case oldest
        /// The next event that comes.
        case next
    }

    /// - Parameters:
    ///   - descriptor: of a recorder's file.
    ///   - start: where to begin.
    /// - Throws: `.invalidArgument` for a file that is no recorder's; what `mmap(2)` says.
    public convenience init(_ descriptor: borrowing Descriptor, from start: Start) throws(Errno) {
        let size = Int(clamping: try descriptor.status().size)
        guard size <= Self.mostBytes else { throw .invalidArgument }
        try self.init(MappedBytes(reading: descriptor, size: size), from: start)
    }

    /// The most bytes that a recorder's memory has.
    public static var mostBytes: Int { EventRing.size(capacity: EventRing.maximumCapacity) }

    /// Reads a copy of a recorder's memory, from the oldest event on.
    ///
    /// - Throws: `.invalidArgument` for what no recorder has written.
    public convenience init(copyOf bytes: [UInt8]) throws(Errno) {
        guard !bytes.isEmpty, bytes.count <= Self.mostBytes else { throw .invalidArgument }
        let memory = try MemoryFile(name: "events", size: bytes.count)
        memory.replace(at: 0, with: bytes.span.bytes)
        try self.init(memory, from: .oldest)
    }

    /// - Throws: `.invalidArgument` for what no recorder has written.
    init(_ memory: MappedBytes, from start: Start) throws(Errno) {
        guard memory.number(at: EventRing.Place.magic) == EventRing.magic,
            let capacity = memory.number(at: EventRing.Place.capacity).flatMap({ Int(exactly: $0) }), capacity > 0,
            capacity <= EventRing.maximumCapacity, capacity & (capacity - 1) == 0,
            EventRing.size(capacity: capacity) <= memory.size
        else { throw .invalidArgument }
        ring = EventRing(memory: memory, capacity: capacity)
        clock = memory.number(at: EventRing.Place.clock) ?? 0
        let written = ring.written
        position =
            switch start {
            case .oldest: written > UInt64(capacity) ? written - UInt64(capacity) : 0
            case .next: written
            }
    }

    /// How many events were written, ever, as the writer says.
    public var written: UInt64 { ring.written }

    /// The events that have come since the last call, in their order. None between them was missed: ``missed`` grows
    /// before the first.
    ///
    /// - Parameter limit: how many are looked at most. A busy writer makes no call endless.
    public func read(upTo limit: Int) -> [Event] {
        var events: [Event] = []
        for _ in 0..<limit {
            let written = ring.written
            // A writer doesn't take back what it has written.
            guard position < written else { break }
            let kept = UInt64(ring.capacity)
            // What was missed is told between what came before it and what comes after.
            if written - position > kept {
                guard events.isEmpty else { break }
                skip(to: written - kept)
            }
            guard let words = ring.words(of: position) else {
                guard events.isEmpty else { break }
                // It was just overwritten, and those that come next are about to be.
                skip(to: position + min(written - position, kept / 4 + 1))
                continue
            }
            if let event = event(words, at: position) {
                events.append(event)
                position += event.slots
            } else {
                // More of a chain whose beginning was missed counts with that.
                if EventRing.rest(words) == nil { missed &+= 1 }
                position += 1
            }
        }
        return events
    }

    /// What the writer was about when it ended: the events of an access that was never over. For when nobody writes any
    /// more.
    public func readUnfinished() -> [Event] {
        var events: [Event] = []
        guard position <= .max - UInt64(ring.capacity) else { return [] }
        var number = position
        while number < position + UInt64(ring.capacity), let words = ring.words(of: number),
            let event = event(words, at: number)
        {
            events.append(event)
            number += event.slots
        }
        return events
    }

    private func skip(to number: UInt64) {
        missed &+= number &- position
        position = number
    }

    private func event(_ words: EventRing.Words, at number: UInt64) -> Event? {
        let kinds = UInt64(littleEndian: words[1])
        guard let kind = Event.Kind(rawValue: UInt8(truncatingIfNeeded: kinds)) else { return nil }
        var event = Event(kind)
        event.number = number
        event.time = UInt64(littleEndian: words[0])
        event.way = Way(rawValue: UInt8(truncatingIfNeeded: kinds >> 8))
        event.region = UInt8(truncatingIfNeeded: kinds >> 16)
        event.name = name(UInt8(truncatingIfNeeded: kinds >> 24))
        let latency = UInt32(kinds >> 32)
        event.latency = latency == 0 ? nil : latency
        event.offset = UInt64(littleEndian: words[2])
        event.count = UInt64(littleEndian: words[3])
        event.value = UInt64(littleEndian: words[4])
        if kind.hasRest { event.rest = rest(of: event) }
        event.more = SIMD2(UInt64(littleEndian: words[5]), UInt64(littleEndian: words[6]))
        return event
    }

    /// The bytes in the slots behind a chain's.
    private func rest(of event: Event) -> [UInt8] {
        let expected = Int(min(event.count, UInt64(Event.bytesKept + Event.restKept))) - Event.bytesKept
        var bytes: [UInt8] = []
        var number = event.number
        while bytes.count < expected, number < .max - 1 {
            number += 1
            guard let more = ring.words(of: number).flatMap(EventRing.rest) else { break }
            bytes += more
        }
        return Array(bytes.prefix(max(0, expected)))
    }

    private func name(_ number: UInt8) -> String {
        guard number > 0, Int(number) <= EventRing.maximumNames,
            UInt64(number) <= ring.memory.number(at: EventRing.Place.nameCount) ?? 0
        else { return "" }
        var bytes = [UInt8](repeating: 0, count: EventRing.nameSize)
        var span = bytes.mutableSpan
        var raw = span.mutableBytes
        ring.memory.copy(at: EventRing.Place.name(Int(number) - 1), count: EventRing.nameSize, into: &raw)
        return String(decoding: bytes.dropFirst().prefix(Int(bytes[0])), as: UTF8.self)
    }
}
