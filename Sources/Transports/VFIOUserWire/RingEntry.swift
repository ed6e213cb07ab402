/// One access on its way through an access ring: a slot's 64 bytes, as eight words of 64 bits.
/// Documentation/AccessRing.md
public struct RingEntry {
    /// The most bytes that one access moves.
    @inlinable static var maximumCount: Int { 40 }
    /// The words before the data.
    @inlinable static var headWords: Int { 3 }

    public enum Kind: UInt32 {
        case read = 1
        case write = 2
    }

    public var words = InlineArray<8, UInt64>(repeating: 0)

    /// An empty entry, to be filled from a slot.
    @inlinable public init() {}

    @inlinable public init(_ kind: Kind, region: Int, offset: UInt64, count: Int) {
        words[0] = UInt64(kind.rawValue) | UInt64(UInt32(truncatingIfNeeded: region)) << 32
        words[1] = offset
        words[2] = UInt64(UInt32(clamping: count))
    }

    /// The first eight bytes of the data, first byte lowest.
    @inlinable public var number: UInt64 {
        get { words[Self.headWords] }
        set { words[Self.headWords] = newValue }
    }

    /// nil for a number that nobody knows.
    @inlinable public var kind: Kind? { Kind(rawValue: UInt32(truncatingIfNeeded: words[0])) }
    @inlinable public var region: Int { Int(words[0] >> 32) }
    @inlinable public var offset: UInt64 { words[1] }
    /// In bytes; whatever the client wrote.
    @inlinable public var count: Int { Int(UInt32(truncatingIfNeeded: words[2])) }

    /// An errno value, or 0 when all went well. The server's.
    @inlinable public var status: Int32 {
        get { Int32(truncatingIfNeeded: words[2] >> 32) }
        set { words[2] = words[2] & 0xffff_ffff | UInt64(UInt32(bitPattern: newValue)) << 32 }
    }

    /// How many words a slot needs for the entry: its head, and `count` bytes.
    @inlinable var usedWords: Int { Self.headWords + (min(count, Self.maximumCount) + 7) / 8 }

    /// Where ``count`` bytes of data are among the bytes of the words; nil when there can't be so many, or are none.
    @inlinable public var dataRange: Range<Int>? {
        let start = Self.headWords * 8
        return count > 0 && count <= Self.maximumCount ? start..<start + count : nil
    }
}
