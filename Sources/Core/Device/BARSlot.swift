import Linux
import PCI

/// One BAR, cut into the pieces that are answered in different ways.
final class BARSlot {
    enum Kind {
        /// By the device.
        case registers
        /// From the memory behind the BAR.
        case memory(MappedBytes)
        /// By the shell; the table or array begins at this offset.
        case msixTable(start: UInt64)
        case msixPending(start: UInt64)
    }

    struct Piece {
        let range: Range<UInt64>
        let kind: Kind
    }

    let bar: BAR
    let index: Int
    /// What is not registers, sorted.
    private let special: [Piece]
    /// From the first of it to the end of the last; empty at 0 when there is none.
    private let specialRange: Range<UInt64>

    init(_ bar: BAR, msix: MSIXLayout?) {
        self.bar = bar
        index = bar.layout.index
        var special: [Piece] = []
        if let memory = bar.memory {
            special = bar.mapped.map { Piece(range: $0, kind: .memory(memory)) }
        }
        if let msix, msix.tableBAR == index {
            let start = UInt64(msix.tableOffset)
            special.append(Piece(range: start..<start + msix.tableSize, kind: .msixTable(start: start)))
        }
        if let msix, msix.pendingBAR == index {
            let start = UInt64(msix.pendingOffset)
            special.append(Piece(range: start..<start + msix.pendingSize, kind: .msixPending(start: start)))
        }
        self.special = special.sorted { $0.range.lowerBound < $1.range.lowerBound }
        specialRange = (self.special.first?.range.lowerBound ?? 0)..<(self.special.last?.range.upperBound ?? 0)
    }

    /// The width of an access that is one access of registers, as nearly all are; nil when it may be anything.
    ///
    /// - Parameter count: bytes of the BAR, from `offset` on.
    @inline(__always)
    func registerWidth(at offset: UInt64, count: Int) -> AccessWidth? {
        guard let width = AccessWidth(rawValue: count), offset & UInt64(count - 1) == 0,
            offset >= specialRange.upperBound || offset + UInt64(count) <= specialRange.lowerBound
        else { return nil }
        return width
    }

    /// What the guest has left for a doorbell; 0 for one that keeps nothing.
    func value(of doorbell: Doorbell) -> UInt64 {
        doorbell.keepsValue ? bar.shadow?.number(at: Int(doorbell.offset)) ?? 0 : 0
    }

    /// The piece that an access finds at `position`, cut off at `end`.
    func piece(at position: UInt64, upTo end: UInt64) -> Piece {
        for piece in special where piece.range.upperBound > position {
            if piece.range.lowerBound <= position {
                return Piece(range: position..<min(end, piece.range.upperBound), kind: piece.kind)
            }
            return Piece(range: position..<min(end, piece.range.lowerBound), kind: .registers)
        }
        return Piece(range: position..<end, kind: .registers)
    }
}

extension AccessWidth {
    /// The widest naturally aligned access at `offset` of at most `count` bytes, at least 1.
    static func widest(at offset: UInt64, upTo count: Int) -> AccessWidth {
        if offset & 7 == 0 && count >= 8 { return .qword }
        if offset & 3 == 0 && count >= 4 { return .dword }
        if offset & 1 == 0 && count >= 2 { return .word }
        return .byte
    }
}

extension MutableRawSpan {
    /// Stores the low bytes of a register's value.
    @_lifetime(self: copy self)
    mutating func storeBytes(of value: UInt64, _ width: AccessWidth, toByteOffset offset: Int) {
        switch width {
        case .byte: storeBytes(of: UInt8(truncatingIfNeeded: value), toByteOffset: offset, as: UInt8.self)
        case .word: storeBytes(of: UInt16(truncatingIfNeeded: value), toByteOffset: offset, as: UInt16.self)
        case .dword: storeBytes(of: UInt32(truncatingIfNeeded: value), toByteOffset: offset, as: UInt32.self)
        case .qword: storeBytes(of: value, toByteOffset: offset, as: UInt64.self)
        }
    }
}

extension RawSpan {
    /// Loads a register's value.
    func load(_ width: AccessWidth, fromByteOffset offset: Int) -> UInt64 {
        // SAFETY: the load checks its bounds, and every bit pattern is an integer.
        switch width {
        case .byte: UInt64(unsafeLoadUnaligned(fromByteOffset: offset, as: UInt8.self))
        case .word: UInt64(unsafeLoadUnaligned(fromByteOffset: offset, as: UInt16.self))
        case .dword: UInt64(unsafeLoadUnaligned(fromByteOffset: offset, as: UInt32.self))
        case .qword: unsafeLoadUnaligned(fromByteOffset: offset, as: UInt64.self)
        }
    }
}
