import Foundation
import Linux
import Programs
import Recording
import Tap

/// A file with records, in a folder of its own.
struct Recorded {
    let scratch: Scratch
    let path: String

    init(_ records: [Record] = []) throws {
        scratch = try Scratch()
        path = scratch.path("recording.pcapng")
        guard !records.isEmpty else { return }
        let writer = try RecordingWriter(path: path)
        for record in records { try writer.append(record) }
        try writer.flush()
    }

    var bytes: [UInt8] { get throws { [UInt8](try Data(contentsOf: URL(fileURLWithPath: path))) } }

    func replace(with bytes: [UInt8]) throws {
        try Data(bytes).write(to: URL(fileURLWithPath: path))
    }

    /// All records, and whether the file ends amid one.
    func read() throws(RecordingError) -> (records: [Record], isCutOff: Bool) {
        try Self.read(RecordingReader(path: path))
    }

    static func read(_ reader: RecordingReader) throws(RecordingError) -> (records: [Record], isCutOff: Bool) {
        var records: [Record] = []
        while let record = try reader.next() { records.append(record) }
        return (records, reader.isCutOff)
    }
}

/// A record with all its fields.
func record(_ kind: Event.Kind, _ number: UInt64 = 0, bytes: [UInt8] = [1, 2, 3]) -> Record {
    var record = Record(.init(kind))
    (record.number, record.time) = (number, 1_790_000_000_000_000_000 + number)
    (record.way, record.region, record.offset) = (.message, 2, 0x10)
    (record.count, record.value, record.latency) = (UInt64(bytes.count), 0x030201, 1500)
    record.name = "naïve"
    record.bytes = bytes
    return record
}
