import FuzzSupport
import Linux
import Recording
import Tap

/// A recording's file from anywhere: a right one with some bytes changed, cut off, or with another block amid it.
final class RecordingsFuzzer: FuzzTarget {
    private let whole: [UInt8]
    private(set) var reach = Reach(Feature.allCases)

    enum Feature: CaseIterable {
        case refused, damaged, record, several, cutOff, whole
    }

    init() throws {
        let file = try MemoryFile(name: "recording", size: 4096)
        let path = "/proc/self/fd/\(file.descriptor.raw)"
        let writer = try RecordingWriter(to: Descriptor(writing: path))
        for kind in Event.Kind.allCases.prefix(6) {
            var record = Record(.init(kind))
            record.name = "name"
            record.bytes = [1, 2, 3, 4, 5]
            try writer.append(record)
        }
        try writer.flush()
        whole = Array(try Descriptor(reading: path).readBytes(upTo: writer.byteCount))
    }

    func run(_ input: inout Input) throws {
        var bytes = whole
        while !input.isEmpty {
            switch input.byte() % 8 {
            case 0: bytes.removeLast(min(bytes.count, Int(input.number(bytes: 2) % 1024)))
            case 1:
                let place = bytes.isEmpty ? 0 : Int(input.number(bytes: 2)) % bytes.count
                bytes.insert(contentsOf: input.take(Int(input.byte() % 32)), at: place)
            case 2: bytes += whole
            default:
                guard !bytes.isEmpty else { return }
                bytes[Int(input.number(bytes: 2)) % bytes.count] = input.byte()
            }
            // Inputs are short, and what they make is, too.
            guard bytes.count < 1 << 16 else { break }
        }
        do throws(RecordingError) { try read(bytes) } catch {
            reach.note(error == .noRecording ? .refused : .damaged)
            guard !error.description.isEmpty else { fuzzFailed("An error without words.") }
        }
    }

    private func read(_ bytes: [UInt8]) throws(RecordingError) {
        let reader = try RecordingReader(copyOf: bytes)
        var count = 0
        while let record = try reader.next() {
            count += 1
            guard record.encoded().count <= Record.maximumLength else { fuzzFailed("A record that is too long.") }
            reach.note(.record)
        }
        if count > 1 { reach.note(.several) }
        reach.note(reader.isCutOff ? .cutOff : .whole)
    }
}
