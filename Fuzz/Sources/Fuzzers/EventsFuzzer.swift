import FuzzSupport
import Linux
import Tap
import Trace

/// What somebody who writes a recorder's memory can put there, while and before it is read and shown.
final class EventsFuzzer: FuzzTarget {
    private let file: MemoryFile
    private let descriptor: Descriptor
    private let names = RegisterNames()
    private(set) var reach = Reach(Feature.allCases)

    enum Feature: CaseIterable {
        case refused, read, missed, unfinished, named, timed, shown
    }

    /// Where EventRing.swift has things.
    private enum Place {
        static let magic = 0x00
        static let capacity = 0x08
        static let written = 0x10
        static let nameCount = 0x20
        static let names = 0x40
        static let slots = 0x1000
    }

    private static let capacity: UInt64 = 8

    init() throws {
        file = try MemoryFile(name: "events", size: Place.slots + 8 * 64)
        descriptor = try file.descriptor.duplicate()
        let recorder = try EventRecorder(capacity: Int(Self.capacity))
        magic = recorder.file.number(at: Place.magic) ?? 0
    }

    private let magic: UInt64

    func run(_ input: inout Input) throws {
        file.clear(at: 0, count: file.size)
        // One header in eight is a lie.
        let lies = input.byte() < 32
        file.publish(lies ? input.number(bytes: 8) : magic, at: Place.magic)
        file.publish(lies ? input.number(bytes: 8) : Self.capacity, at: Place.capacity)
        let start: EventReader.Start = input.byte() < 128 ? .oldest : .next
        change(&input)
        let reader: EventReader
        do throws(Errno) { reader = try EventReader(descriptor, from: start) } catch {
            return reach.note(.refused)
        }
        let filter = try EventFilter(
            "read|write|event|clock|random|look|monitor|command|request|completion offset=0..0xffff")
        while !input.isEmpty {
            change(&input)
            for event in reader.read(upTo: 64) { show(event, filter, .read) }
        }
        for event in reader.readUnfinished() { show(event, filter, .unfinished) }
        if reader.missed > 0 { reach.note(.missed) }
    }

    /// Puts a few numbers anywhere, mostly such as a recorder would.
    private func change(_ input: inout Input) {
        for _ in 0..<Int(input.byte() % 8) {
            let slot = UInt64(input.byte())
            let place = Place.slots + Int(slot % Self.capacity) * 64
            switch input.byte() % 4 {
            case 0: file.publish(input.number(bytes: 8), at: Int(input.byte()) * 8 % file.size)
            case 1: file.publish(input.byte() < 200 ? slot : input.number(bytes: 8), at: Place.written)
            case 2:
                file.publish(UInt64(input.byte()), at: Place.nameCount)
                let bytes = input.take(32)
                file.replace(at: Place.names + Int(input.byte() % 4) * 32, with: bytes.span.bytes)
            default:
                let bytes = input.take(56)
                file.replace(at: place + 8, with: bytes.span.bytes)
                file.publish(slot &+ 1, at: place)
            }
        }
    }

    private func show(_ event: Event, _ filter: EventFilter, _ feature: Feature) {
        reach.note(feature)
        if !event.name.isEmpty { reach.note(.named) }
        if event.latency != nil { reach.note(.timed) }
        guard filter.matches(event, names) else { return }
        let text = EventText(names, clock: event.time)
        guard !text.line(event).isEmpty, !text.json(event).text.isEmpty else { fuzzFailed("An event without a text.") }
        var summary = EventSummary(names)
        summary.add(event)
        guard !summary.text().isEmpty else { fuzzFailed("A summary without a text.") }
        reach.note(.shown)
    }
}
