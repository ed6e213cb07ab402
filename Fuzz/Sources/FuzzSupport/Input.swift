/// The fuzzer's bytes, taken from the front; zeros when there are no more.
public struct Input {
    private let bytes: UnsafeRawBufferPointer
    private var position = 0
    /// Of all bytes: FNV-1a.
    private let hash: UInt64

    /// - Parameter bytes: valid until the run ends.
    public init(_ bytes: UnsafeRawBufferPointer) {
        self.bytes = bytes
        hash = bytes.reduce(0xcbf2_9ce4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
    }

    public var isEmpty: Bool { position >= bytes.count }

    /// What takes long and would be in each input of a grown corpus.
    public enum Luxury: UInt64 {
        case save = 0x9e37_79b9_7f4a_7c15
        case look = 0xd6e8_feb8_6659_fd93
        case comparison = 0xa076_1d64_78bd_642f
        case death = 0xe703_7ed1_a0b4_28db
    }

    /// Whether this input is the one in so many that may do it. All bytes together say so: whatever inputs the corpus
    /// keeps, each change of one draws lots anew, and the same input always does the same.
    public func may(_ luxury: Luxury, oneIn count: UInt64) -> Bool {
        (hash &* luxury.rawValue) >> 32 % count == 0
    }

    public mutating func byte() -> UInt8 {
        guard position < bytes.count else { return 0 }
        defer { position += 1 }
        return bytes[position]
    }

    public mutating func number(bytes count: Int) -> UInt64 {
        var number: UInt64 = 0
        for index in 0..<count { number |= UInt64(byte()) << UInt64(8 * index) }
        return number
    }

    public mutating func take(_ count: Int) -> [UInt8] {
        let count = min(count, bytes.count - position)
        defer { position += count }
        return Array(bytes[position..<position + count])
    }

    /// One of some values.
    public mutating func pick<Value>(_ values: [Value]) -> Value { values[Int(byte()) % values.count] }
}

/// Bytes as choices, one for each: what chooses by a generator of random numbers chooses what the input says.
extension Input: RandomNumberGenerator {
    public mutating func next() -> UInt64 { UInt64(byte()) &* 0x0101_0101_0101_0101 }
}
