import Tap

/// The records of a recording in their order, as they are asked for: the parts of a passage joined, and the records that
/// say how a function was put together into a ``Snapshot``.
final class RecordQueue {
    /// What a passage, and what is looked ahead at, may have at most, in bytes: recordings are hostile.
    private static let mostBytes = 256 << 20
    /// What a record takes in memory beside its name and its bytes, at most, in bytes.
    private static let sizeOfRecord = 256

    private let source: () throws -> Record?
    private var ahead: [Record] = []
    /// Where in ``ahead`` the next one is.
    private var position = 0
    private var bytesAhead = 0
    private var isAtEnd = false
    /// How long a state of the device may be, in bytes.
    var mostBytesOfState: UInt64 = 0
    private var collecting = Snapshot()
    /// The last state that was complete, and that nobody has taken.
    private var complete: Snapshot?
    /// The parts of a picture until now.
    private var picture: Record?
    /// How many records there were until now.
    private(set) var count: UInt64 = 0

    /// - Parameter source: gives the next record; nil at the end.
    init(_ source: @escaping () throws -> Record?) {
        self.source = source
    }

    // MARK: What comes next

    /// The record at a distance from the next one; nil behind the end.
    func peek(_ distance: Int = 0) throws -> Record? {
        while ahead.count - position <= distance {
            guard try fill() else { return nil }
        }
        return ahead[position + distance]
    }

    func drop() {
        guard position < ahead.count else { return }
        bytesAhead -= Self.size(of: ahead[position])
        position += 1
        // Each is moved once at most for each that is dropped.
        if position >= 1024, position >= ahead.count / 2 {
            ahead.removeFirst(position)
            position = 0
        }
    }

    /// The read that has begun here, behind all that it has led to; nil when it is lost, with what comes up to the next
    /// gap or to where the recording is cut off.
    func begunRead() throws -> Record? {
        var distance = 0
        while let record = try peek(distance) {
            switch record.kind {
            case .init(.read): return record
            case .gap: return nil
            case .begin, .end, .init(.write), .init(.doorbell):
                throw ReplayError("A read begins before event \(record.number), and doesn't come to its end.")
            default: distance += 1
            }
        }
        return nil
    }

    /// Drops all up to the next gap, or to the end.
    func dropToGap() throws {
        while let record = try peek(), record.kind != .gap { drop() }
    }

    /// Drops all until a state is complete, and what the state has in it already.
    ///
    /// - Returns: nil when there is none.
    func nextSnapshot() throws -> Snapshot? {
        while complete == nil {
            guard try fill() else { return nil }
        }
        guard let snapshot = complete else { return nil }
        complete = nil
        while let record = try peek(), record.number < snapshot.number { drop() }
        return snapshot
    }

    // MARK: Reading on

    /// Reads one record on, and puts it where it belongs.
    private func fill() throws -> Bool {
        guard !isAtEnd else { return false }
        guard let record = try whole() else {
            isAtEnd = true
            return false
        }
        if try collecting.add(record, upTo: mostBytesOfState) {
            if collecting.isComplete { complete = collecting }
            return true
        }
        guard bytesAhead <= Self.mostBytes - Self.size(of: record) else {
            throw ReplayError("The recording has more than can be looked ahead at: \(Self.mostBytes) bytes.")
        }
        bytesAhead += Self.size(of: record)
        ahead.append(record)
        return true
    }

    private static func size(of record: Record) -> Int { sizeOfRecord + record.name.utf8.count + record.bytes.count }

    /// The next record, with all its parts.
    private func whole() throws -> Record? {
        guard var record = try source() else { return nil }
        count += 1
        // Others may pass between its parts.
        while record.kind == .picture {
            if let whole = try add(toPicture: record) { return whole }
            guard let next = try source() else { return nil }
            count += 1
            record = next
        }
        // A part whose beginning was lost stands before the gap that says so.
        guard record.partOffset == 0, record.kind != .state else { return record }
        while record.hasMoreParts {
            guard let part = try source() else { return nil }
            count += 1
            guard part.kind == record.kind, part.number == record.number, Int(part.partOffset) == record.bytes.count
            else { return part.kind == .gap ? part : try lost(part) }
            guard record.bytes.count <= Self.mostBytes - part.bytes.count else {
                throw ReplayError("A passage has more than \(Self.mostBytes) bytes.")
            }
            record.bytes += part.bytes
            record.hasMoreParts = part.hasMoreParts
        }
        return record
    }

    /// - Returns: the picture, with its last part.
    private func add(toPicture part: Record) throws -> Record? {
        if part.partOffset == 0 {
            picture = part
        } else {
            guard let known = picture, known.region == part.region, known.bytes.count == Int(part.partOffset),
                known.bytes.count <= Self.mostBytes - part.bytes.count
            else { return try lost(part) }
            picture?.bytes += part.bytes
        }
        guard !part.hasMoreParts else { return nil }
        defer { picture = nil }
        picture?.hasMoreParts = false
        return picture
    }

    private func lost(_ part: Record) throws -> Record {
        throw ReplayError("Passage \(part.number) doesn't go on where its last part has ended.")
    }
}

/// Why a recording can't be replayed.
public struct ReplayError: Error, CustomStringConvertible {
    /// A sentence.
    public let description: String

    init(_ description: String) {
        self.description = description
    }

    static let noState = ReplayError("The recording has no complete state from which a device could go on.")
}
