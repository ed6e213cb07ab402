import GuestMemory
import Tap

/// What a function was at a moment: its saved state, and what it knew of the world.
struct Snapshot {
    private static let mostMaps = 65_535
    private static let mostLines = 64

    /// Of the passage that came next.
    private(set) var number: UInt64 = 0
    /// What isn't zero of the saved state, in order, and how long all of it is, in bytes.
    private(set) var parts: [(offset: UInt64, bytes: [UInt8])] = []
    private(set) var size: UInt64 = 0
    private(set) var maps: [(address: UInt64, size: UInt64, access: DMAAccess)] = []
    /// As `MessageRouting.number`.
    private(set) var interrupts: UInt64 = 0
    /// The names of what somebody was at the other end of.
    private(set) var connected: [String] = []
    /// What the device keeps for whoever comes to the other end of what has the name.
    private(set) var kept: [String: [UInt8]] = [:]
    private(set) var limits: (videoMemory: UInt64, frameRate: UInt64)?
    private(set) var isComplete = false
    /// How many bytes of the state are known, from its beginning.
    private var done: UInt64 = 0

    /// Takes in a record that tells of a state.
    ///
    /// - Parameter mostBytes: how long the state may be.
    /// - Returns: false when it tells of something else.
    mutating func add(_ record: Record, upTo mostBytes: UInt64) throws(ReplayError) -> Bool {
        switch record.kind {
        // The first that is told of each.
        case .interrupts:
            self = Snapshot()
            number = record.number
            interrupts = record.value
        case .limits: limits = (record.offset, record.value)
        case .connection:
            guard connected.count < Self.mostLines else {
                throw ReplayError("A state has more than \(Self.mostLines) lines.")
            }
            connected.append(record.name)
        case .kept:
            guard kept.count < Self.mostLines else {
                throw ReplayError("A state has more than \(Self.mostLines) lines.")
            }
            kept[record.name] = record.bytes
        case .map:
            guard maps.count < Self.mostMaps else { throw ReplayError("A state has more than \(Self.mostMaps) maps.") }
            maps.append((record.offset, record.count, DMAAccess(rawValue: UInt8(truncatingIfNeeded: record.value))))
        case .state: try addState(record, upTo: mostBytes)
        default: return false
        }
        return true
    }

    private mutating func addState(_ record: Record, upTo mostBytes: UInt64) throws(ReplayError) {
        let size = UInt64(record.bytes.count)
        guard record.count <= mostBytes else {
            throw ReplayError("A state has \(record.count) bytes; one of this device has \(mostBytes) at most.")
        }
        guard record.offset <= record.count, size <= record.count - record.offset,
            record.offset >= done, record.number == number
        else { throw ReplayError("A part of a state lies from \(record.offset) on of \(record.count) bytes.") }
        if !record.bytes.isEmpty { parts.append((record.offset, record.bytes)) }
        done = record.offset + size
        self.size = record.count
        isComplete = done == record.count
    }

    /// Gives out the saved state, piece by piece.
    func forEachPiece<Failure>(_ take: (RawSpan) throws(Failure) -> Void) throws(Failure) {
        let zeros = [UInt8](repeating: 0, count: 1 << 16)
        var position: UInt64 = 0
        func fill(upTo end: UInt64) throws(Failure) {
            while position < end {
                let count = min(end - position, UInt64(zeros.count))
                try take(zeros.span.bytes.extracting(first: Int(count)))
                position += count
            }
        }
        for part in parts {
            try fill(upTo: part.offset)
            try take(part.bytes.span.bytes)
            position += UInt64(part.bytes.count)
        }
        try fill(upTo: size)
    }
}
