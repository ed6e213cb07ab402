import Device
import Linux
import Tap

/// Gives out records one after the other.
protocol RecordSource: AnyObject {
    /// - Returns: nil when there are no more.
    func next() throws -> Record?
}

/// What a function is at a moment: what it knows of the world, and its saved state. Registers and queues are of the
/// moment at which it begins; when that can't be kept to it begins anew.
final class StateRecords: RecordSource {
    /// So often it begins anew; the last time it takes all at once. A guest that never leaves its memory alone holds
    /// itself up.
    private static let mostBeginnings = StateSaving.mostBeginnings

    private let function: () -> Function
    private let nextNumber: () -> UInt64
    private var number: UInt64 = 0
    private var setting: ArraySlice<Record> = []
    private var reader: StateReader?
    private var read: Function?
    private var position = 0
    private var beginnings = 0
    /// What was taken at once.
    private var taken: ArraySlice<Record>?

    /// - Parameter nextNumber: gives the number of the passage that comes next.
    init(of function: @escaping () -> Function, _ nextNumber: @escaping () -> UInt64) {
        self.function = function
        self.nextNumber = nextNumber
        begin()
    }

    private func begin() {
        let function = function()
        // Without memory for its text there is no state; the next turn tries again.
        reader = try? StateReader(function)
        read = function
        number = nextNumber()
        setting =
            function.setting.map { record in
                var record = record
                record.number = number
                return record
            }[...]
        position = 0
        beginnings += 1
        if beginnings == Self.mostBeginnings {
            var all: [Record] = []
            while let record = piece() { all.append(record) }
            taken = all[...]
        }
        // A function that goes on from a state looks at everything anew. So does this one, or the two would differ.
        guard function.isRunning else { return }
        function.setRunning(false)
        function.setRunning(true)
    }

    func next() -> Record? {
        if taken == nil, reader?.isCurrent == false || read !== function() { begin() }
        if let record = setting.popFirst() { return record }
        return taken == nil ? piece() : taken?.popFirst()
    }

    /// The next piece of the state that isn't all zeros, or the last.
    private func piece() -> Record? {
        guard let reader else { return nil }
        var bytes = [UInt8](repeating: 0, count: Record.maximumBytes)
        while true {
            var span = bytes.mutableSpan
            var raw = span.mutableBytes
            let count = reader.read(into: &raw)
            guard count > 0 else { return nil }
            let start = position
            position += count
            if position < reader.size, bytes.allSatisfy({ $0 == 0 }) { continue }
            var record = Record(.state)
            (record.number, record.time) = (number, SystemClock.nanosecondsSinceEpoch)
            (record.offset, record.count) = (UInt64(start), UInt64(reader.size))
            record.bytes = Array(bytes.prefix(count))
            return record
        }
    }
}

/// What stands at the end of a recording: what the guest has left in mapped memory, and what the heads show.
final class EndRecords: RecordSource {
    private let function: Function
    private let number: UInt64
    private var memory: ArraySlice<(bar: Int, bytes: MappedBytes, range: Range<Int>, isZero: Bool)> = []
    private var pictures: [Record]?

    /// - Parameter number: the passage that would come next.
    init(of function: Function, from number: UInt64) {
        self.function = function
        self.number = number
        for bar in 0..<6 {
            guard let region = function.region(bar), region.isWritable, let bytes = region.memory,
                let end = region.mapped.last.flatMap({ Int(exactly: $0.upperBound) }), end <= bytes.size
            else { continue }
            memory += Self.pieces(of: bytes, upTo: end).map { (bar, bytes, $0.range, $0.isZero) }
        }
    }

    private static func pieces(of bytes: MappedBytes, upTo end: Int) -> [(range: Range<Int>, isZero: Bool)] {
        var pieces: [(Range<Int>, Bool)] = []
        var position = 0
        for extent in ((try? bytes.dataExtents()) ?? [0..<bytes.size]) where extent.lowerBound < end {
            if extent.lowerBound > position { pieces.append((position..<extent.lowerBound, true)) }
            position = min(end, extent.upperBound)
            for start in stride(from: extent.lowerBound, to: position, by: Record.maximumBytes) {
                pieces.append((start..<min(start + Record.maximumBytes, position), false))
            }
        }
        if position < end { pieces.append((position..<end, true)) }
        return pieces
    }

    func next() throws -> Record? {
        if let (bar, bytes, range, isZero) = memory.popFirst() { return Self.record(bar, bytes, range, isZero, number) }
        if pictures == nil { pictures = try heads() + [Record(.end)] }
        guard pictures?.isEmpty == false else { return nil }
        var record = pictures?.removeFirst()
        record?.number = number
        record?.time = SystemClock.nanosecondsSinceEpoch
        return record
    }

    private static func record(
        _ bar: Int, _ bytes: MappedBytes, _ range: Range<Int>, _ isZero: Bool, _ number: UInt64
    ) -> Record {
        var record = Record(.memory)
        (record.number, record.time) = (number, SystemClock.nanosecondsSinceEpoch)
        (record.region, record.offset, record.count) = (UInt8(bar), UInt64(range.lowerBound), UInt64(range.count))
        guard !isZero else { return record }
        record.bytes = [UInt8](repeating: 0, count: range.count)
        var span = record.bytes.mutableSpan
        var raw = span.mutableBytes
        bytes.copy(at: range.lowerBound, count: range.count, into: &raw)
        return record
    }

    /// The pictures, each in as many parts as it needs.
    private func heads() throws -> [Record] {
        var records: [Record] = []
        for (number, head) in (function.display?.heads ?? []).enumerated() {
            guard let picture = try head.pixels() else { continue }
            for start in stride(from: 0, to: picture.bytes.count, by: Record.maximumBytes) {
                let end = min(start + Record.maximumBytes, picture.bytes.count)
                var record = Record(.picture)
                record.region = UInt8(clamping: number)
                (record.offset, record.value) = (UInt64(picture.width), UInt64(picture.height))
                record.count = UInt64(picture.bytes.count)
                record.partOffset = UInt32(clamping: start)
                record.hasMoreParts = end < picture.bytes.count
                record.bytes = Array(picture.bytes[start..<end])
                records.append(record)
            }
        }
        return records
    }
}
