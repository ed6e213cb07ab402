import FakeGuest

/// Configuration space, filled in by whoever tests.
struct FakeConfiguration {
    private(set) var bytes: [UInt8]
    /// Where the lists end so far.
    private var last: (standard: Int?, extended: Int?)

    /// A device of type 0 with no capabilities.
    init(size: Int = 256) {
        bytes = [UInt8](repeating: 0, count: size)
        store(UInt16(0x1234), at: 0x00)
        store(UInt16(0x5678), at: 0x02)
    }

    mutating func store(_ number: some FixedWidthInteger & Sendable, at offset: Int) {
        bytes = bytes.replacing(at: offset, with: number)
    }

    /// Adds a capability to the list's end, with what follows its ID and the next pointer.
    mutating func add(_ id: UInt8, at offset: Int, _ fields: any FixedWidthInteger...) {
        store(UInt8(offset), at: last.standard.map { $0 + 1 } ?? 0x34)
        bytes[0x06] |= 1 << 4
        bytes.replaceSubrange(offset..<offset + 2, with: [id, 0])
        var place = offset + 2
        for field in fields {
            bytes = bytes.replacing(at: place, with: field)
            place += field.bitWidth / 8
        }
        last.standard = offset
    }

    /// Adds an extended capability of version 1, with what follows its header; the first one at 0x100.
    mutating func addExtended(_ id: UInt16, at offset: Int, _ fields: any FixedWidthInteger...) {
        if let previous = last.extended { store(UInt16(offset << 4 | 1), at: previous + 2) }
        store(UInt32(id) | 1 << 16, at: offset)
        var place = offset + 4
        for field in fields {
            bytes = bytes.replacing(at: place, with: field)
            place += field.bitWidth / 8
        }
        last.extended = offset
    }
}
