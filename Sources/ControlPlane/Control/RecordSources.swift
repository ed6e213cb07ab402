import Device
import Linux
import Tap

/// Gives out records one after the other.
protocol RecordSource: AnyObject {
    /// Makes one step.
    ///
    /// - Returns: nil when there are no more.
    func next() throws -> RecordPiece?
}

/// What one step has led to.
struct RecordPiece {
    /// Nil: zeros, of which nothing needs to be told.
    let record: Record?
    /// How much the step has done, in bytes.
    let cost: Int

    init(_ record: Record) {
        self.record = record
        cost = Record.headerSize + record.bytes.count
    }

    init(zeros count: Int) {
        record = nil
        cost = count
    }
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
    private var taken: StateCopy?

    /// - Parameter nextNumber: gives the number of the passage that comes next.
    /// - Throws: `StateError` when the device has what no state can hold, `JSONError` when its state can't be encoded,
    ///   `Errno` when there is no memory.
    init(of function: @escaping () -> Function, _ nextNumber: @escaping () -> UInt64) throws {
        self.function = function
        self.nextNumber = nextNumber
        try begin()
    }

    private func begin() throws {
        let function = function()
        beginnings += 1
        if beginnings < Self.mostBeginnings {
            reader = try StateReader(function)
        } else {
            var copy = try StateCopy(of: function)
            try copy.add(.max)
            (reader, taken) = (copy.reader, copy)
        }
        read = function
        number = nextNumber()
        setting =
            function.setting.map { record in
                var record = record
                record.number = number
                return record
            }[...]
        position = 0
        // A function that goes on from a state looks at everything anew. So does this one, or the two would differ.
        guard function.isRunning else { return }
        function.setRunning(false)
        function.setRunning(true)
    }

    func next() throws -> RecordPiece? {
        if taken == nil, reader?.isCurrent == false || read !== function() { try begin() }
        if let record = setting.popFirst() { return RecordPiece(record) }
        return piece()
    }

    /// The next piece of the state.
    private func piece() -> RecordPiece? {
        guard let reader else { return nil }
        var record = Record(.state)
        record.bytes = [UInt8](repeating: 0, count: Record.maximumBytes)
        var span = record.bytes.mutableSpan
        var raw = span.mutableBytes
        let count = taken?.copy(from: position, into: &raw) ?? reader.read(into: &raw)
        guard count > 0 else { return nil }
        let start = position
        position += count
        // The last one is told of, whatever is in it.
        if position < reader.size, record.bytes.allSatisfy({ $0 == 0 }) { return RecordPiece(zeros: count) }
        (record.number, record.time) = (number, SystemClock.nanosecondsSinceEpoch)
        (record.offset, record.count) = (UInt64(start), UInt64(reader.size))
        record.bytes.removeLast(record.bytes.count - count)
        return RecordPiece(record)
    }
}
