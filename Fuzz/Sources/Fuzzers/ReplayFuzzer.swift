import Device
import DeviceCatalog
import FuzzSupport
import JSON
import Linux
import Replay
import Tap

/// A recording from anywhere, such as a device of this program could have made, with records that the input says: it is
/// replayed, or refused, or the device does something else. Or the device's part of it is played to a client.
final class ReplayFuzzer: FuzzTarget {
    /// What stands before the passages: a description, and a state.
    private let beginnings: [[Record]]
    private(set) var reach = Reach(Feature.allCases)

    enum Feature: CaseIterable {
        case refused, different, same, ended, gap, stateChanged, played, otherClient
    }

    private static let types = [
        ("serial", ["line": "unix:/nowhere"]), ("bochs-display", ["vram": "1280K", "resolution": "640x480"]),
        ("exerciser", [:]), ("virtio-rng", [:]), ("virtio-gpu", ["vram": "3M", "resolution": "640x480"]),
    ]

    init() throws {
        beginnings = try Self.types.map { type, options in
            var description = Record(.description)
            let json = RecordingDescription(type: type, options: options, version: "", clock: 0)
            description.bytes = Array(try JSON(encoding: json).text.utf8)
            // The line is no part of the state.
            let words = options.filter { $0.key != "line" }.map { "\($0.key)=\($0.value)" }
            let device = try FuzzedFunction { try DeviceCatalog.make(type, options: words, host: $0) }
            var state = Record(.state)
            state.bytes = device.state()
            state.count = UInt64(state.bytes.count)
            return [description, Record(.interrupts), state]
        }
    }

    func run(_ input: inout Input) throws {
        var records = input.pick(beginnings)
        if input.byte() == 0 {
            let place = Int(input.number(bytes: 2)) % records[2].bytes.count
            records[2].bytes[place] = input.byte()
            reach.note(.stateChanged)
        }
        let isPlayed = input.byte() & 3 == 0
        let beginning = records[1...]
        // Inputs are short.
        while !input.isEmpty, records.count < 200 {
            let record = record(&input)
            records.append(record)
            if record.kind == .gap { records += beginning }
        }
        var left = records[...]
        do {
            if isPlayed { return try play(records) }
            let outcome = try Replay { left.popFirst() }.run()
            reach.note(outcome.divergence == nil ? .same : .different)
            if outcome.gaps > 0 { reach.note(.gap) }
            if outcome.isComplete { reach.note(.ended) }
        } catch {
            guard !"\(error)".isEmpty else { fuzzFailed("An error without words.") }
            reach.note(.refused)
        }
    }

    /// The client does what was recorded, as far as it is a client's to do.
    private func play(_ records: [Record]) throws {
        var left = records[...]
        let part = try DevicePart(EventLoop(closesAtOnce: true), check: {}) { left.popFirst() }
        defer { part.close() }
        var last: UInt64?
        part.goOn()
        while part.divergence == nil, part.failure == nil, let next = try part.remaining(), part.passages != last {
            last = part.passages
            let region = Int(next.region)
            var bytes = next.bytes
            var span = bytes.mutableSpan
            var raw = span.mutableBytes
            switch next.kind.event {
            case .read: try? part.function.read(region: region, offset: next.offset, into: &raw)
            case .write: try? part.function.write(region: region, offset: next.offset, from: raw.bytes)
            case .reset: part.function.reset()
            default: break
            }
            part.goOn()
        }
        if let failure = part.failure { throw failure }
        reach.note(part.divergence == nil ? .played : .otherClient)
    }

    private func record(_ input: inout Input) -> Record {
        let shape = input.byte()
        let kind: Record.Kind =
            shape & 0x80 == 0
            ? .init(rawValue: shape % 32)
            : input.pick([.begin, .gap, .memory, .picture, .end, .map, .connection, .limits, .state, .interrupts])
        var record = Record(kind)
        record.region = input.byte() & 7
        record.offset = shape & 0x20 == 0 ? UInt64(input.byte()) * 4 : input.number(bytes: 8)
        record.bytes = input.take(Int(input.byte() & 0x1f))
        record.count = shape & 0x40 == 0 ? UInt64(record.bytes.count) : input.number(bytes: 8)
        for byte in record.bytes.prefix(8).reversed() { record.value = record.value << 8 | UInt64(byte) }
        record.name = input.pick(["", "line", "line: arrival", "queues due", "next picture", "interrupts: MSI-X"])
        return record
    }
}
