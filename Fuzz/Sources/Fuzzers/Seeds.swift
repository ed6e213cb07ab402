import FakeDriver
import FuzzSupport
import Glibc
import JSON
import Linux
import Recording
import Tap

/// Inputs to begin with, made of recordings: what real drivers do, in the language of a fuzzer.
enum Seeds {
    /// How a fuzzer is told of what was recorded.
    private struct Language: Sendable {
        /// Which recordings it is made of; nil: all.
        var types: Set<String>?
        /// The input's first bytes.
        var beginning: [UInt8]
        /// How long an input is at most, in bytes.
        var length = 256
        /// What an input says of a passage; nil: nothing.
        var action: @Sendable (Record) -> [UInt8]?
    }

    private static let languages: [String: Language] = [
        "messages": Language(beginning: [0], length: 128, action: message),
        "bochs-display": Language(types: ["bochs-display"], beginning: [], action: access),
        "serial": Language(types: ["serial"], beginning: [], action: access),
        // Split rings, sixteen descriptors, MSI-X.
        "virtio": Language(types: ["virtio-gpu", "virtio-rng"], beginning: [0x40], action: chain),
        // Split rings and nothing made yet.
        "virtio-gpu": Language(types: ["virtio-gpu"], beginning: [0x0c], length: 128, action: request),
    ]

    /// So many inputs are made of a recording at most.
    private static let most = 64

    /// Writes them, `recorded-…` in a folder for each fuzzer.
    ///
    /// - Parameter arguments: the folder, and the recordings.
    static func write(_ arguments: [String]) throws {
        guard let folder = arguments.first else { return }
        for path in arguments.dropFirst() {
            let records = try readAll(path)
            let type = records.first.flatMap { try? JSON(parsing: String(decoding: $0.bytes, as: UTF8.self)) }?["type"]
            for (name, language) in languages where language.types?.contains(type?.string ?? "") ?? true {
                try write(inputs(records, language), as: path, to: "\(folder)/\(name)")
            }
        }
    }

    private static func readAll(_ path: String) throws -> [Record] {
        let reader = try RecordingReader(path: path)
        var records: [Record] = []
        while let record = try reader.next() { records.append(record) }
        return records
    }

    /// - Parameter path: of the recording, whose name theirs have.
    private static func write(_ inputs: [[UInt8]], as path: String, to folder: String) throws {
        let name = path.split(separator: "/").last?.split(separator: ".").dropLast().joined(separator: ".") ?? ""
        mkdir(folder, 0o700)
        for (number, input) in inputs.enumerated() {
            let file = try FileReplacement(path: "\(folder)/recorded-\(name)-\(number)")
            try file.descriptor.writeAll(input.span.bytes)
            try file.commit()
        }
        print("\(folder): \(inputs.count) inputs of \(name)")
    }

    /// One behind the other, each as long as it may be. What comes again and again at once stands there once.
    private static func inputs(_ records: [Record], _ language: Language) -> [[UInt8]] {
        var inputs: [[UInt8]] = []
        var input = language.beginning
        var last: [UInt8] = []
        for record in records where record.partOffset == 0 {
            guard let action = language.action(record), action != last else { continue }
            last = action
            if input.count + action.count > language.length {
                inputs.append(input)
                guard inputs.count < most else { return inputs }
                input = language.beginning
            }
            input += action
        }
        return input == language.beginning ? inputs : inputs + [input]
    }

    // MARK: Languages

    private static func bytes(_ number: UInt64, _ count: Int) -> [UInt8] {
        (0..<count).map { UInt8(truncatingIfNeeded: number >> UInt64(8 * $0)) }
    }

    /// As ``RegisterDriver`` makes any access.
    private static func access(_ record: Record) -> [UInt8]? {
        guard record.count < 32 else { return nil }
        let isFar = record.offset > 0xfff
        let action: UInt8 = 6 | (isFar ? 0x40 : 0)
        let place = [record.region] + bytes(record.offset, isFar ? 8 : 2) + [UInt8(record.count)]
        switch record.kind.event {
        case .read: return [action] + place
        case .write: return [action | 0x80] + place + record.bytes
        case .reset: return [7]
        default: return nil
        }
    }

    /// As ``MessagesFuzzer`` makes accesses, and commands with any payload.
    private static func message(_ record: Record) -> [UInt8]? {
        let place: UInt8 = record.region == 7 ? 0x80 : 0xc0 | record.region
        let (offset, count) = (bytes(record.offset, 8), bytes(record.count, 2))
        switch record.kind.event {
        case .read where record.count <= 0xffff: return [0x62, place] + offset + count
        case .write where record.count <= 64: return [0x63, place] + offset + count + record.bytes
        case .command where record.bytes.count <= 64 && record.offset < 20:
            return [1, UInt8(record.offset), UInt8(record.bytes.count)] + record.bytes
        default: return nil
        }
    }

    /// As ``VirtioFuzzer`` puts a chain into a queue, and tells the device of it: one that the device has taken.
    private static func chain(_ record: Record) -> [UInt8]? {
        guard record.kind.event == .request else { return nil }
        let (readable, room) = (UInt8(clamping: record.count), UInt8(24))
        return [0x44, UInt8(record.offset & 1) | 1 << 2] + [0, 0x10, readable] + [0, 0x20, room]
    }

    /// As ``Machine`` sends a request that was recorded.
    private static func request(_ record: Record) -> [UInt8]? {
        let header = 24
        guard record.kind.event == .request, record.bytes.count >= header,
            let index = GPUCommand.allCases.firstIndex(where: {
                record.bytes.starts(with: bytes(UInt64($0.rawValue), 4))
            })
        else { return nil }
        var body = Array(record.bytes.dropFirst(header).prefix(72))
        if GPUCommand.allCases[index] == .resourceAttachBacking { body = backing(body) }
        return [0, Machine.recorded, UInt8(index), record.bytes[8], UInt8(body.count)] + body
    }

    /// As much of a picture's memory as there is room for, in memory as small as the fuzzer's.
    private static func backing(_ body: [UInt8]) -> [UInt8] {
        let entries = max(0, body.count - 8) / 16
        return Array(body.prefix(4)) + bytes(UInt64(entries), 4)
            + (0..<entries).flatMap { bytes(UInt64($0) << 12, 8) + bytes(4096, 8) }
    }
}
