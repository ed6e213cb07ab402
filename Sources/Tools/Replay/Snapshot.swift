import GuestMemory
import Tap

/// What a function was at a moment: its saved state, and what it knew of the world.
struct Snapshot {
    /// What a saved state may have at most, in bytes.
    private static let mostBytes: UInt64 = 1 << 30
    private static let mostMaps = 65_535
    private static let mostLines = 64

    /// Of the passage that came next.
    private(set) var number: UInt64 = 0
    private(set) var state: [UInt8] = []
    private(set) var maps: [(address: UInt64, size: UInt64, access: DMAAccess)] = []
    /// As `MessageRouting.number`.
    private(set) var interrupts: UInt64 = 0
    /// The names of what somebody was at the other end of.
    private(set) var connected: [String] = []
    private(set) var limits: (videoMemory: UInt64, frameRate: UInt64)?
    private(set) var isComplete = false
    /// How many bytes of the state are known, from its beginning.
    private var done: UInt64 = 0

    /// Takes in a record that tells of a state.
    ///
    /// - Returns: false when it tells of something else.
    mutating func add(_ record: Record) throws(ReplayError) -> Bool {
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
        case .map:
            guard maps.count < Self.mostMaps else { throw ReplayError("A state has more than \(Self.mostMaps) maps.") }
            maps.append((record.offset, record.count, DMAAccess(rawValue: UInt8(truncatingIfNeeded: record.value))))
        case .state: try addState(record)
        default: return false
        }
        return true
    }

    private mutating func addState(_ record: Record) throws(ReplayError) {
        let size = UInt64(record.bytes.count)
        guard record.count <= Self.mostBytes, record.offset <= record.count, size <= record.count - record.offset,
            record.offset >= done, record.number == number
        else { throw ReplayError("A part of a state lies from \(record.offset) on of \(record.count) bytes.") }
        state += [UInt8](repeating: 0, count: Int(record.offset - done))
        state += record.bytes
        done = record.offset + size
        isComplete = done == record.count
    }
}
