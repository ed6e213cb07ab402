/// Numbers and bytes one after the other, little-endian, without padding.
public struct PayloadWriter {
    private(set) var bytes: [UInt8] = []

    init() {
        // Most payloads are no longer.
        bytes.reserveCapacity(64)
    }

    /// Begins anew.
    mutating func clear() {
        bytes.removeAll(keepingCapacity: bytes.capacity <= 2 * MessageRing.keptCapacity)
    }

    /// In as many bytes as its type has.
    public mutating func put(_ number: some FixedWidthInteger) {
        withUnsafeBytes(of: number.littleEndian) { bytes.append(contentsOf: $0) }
    }

    /// The number of bytes, in four, and the bytes.
    public mutating func put(_ data: [UInt8]) {
        put(UInt32(truncatingIfNeeded: data.count))
        bytes.append(contentsOf: data)
    }
}

/// Reads what a ``PayloadWriter`` wrote, or what somebody wants to pass for it: what is missing reads as 0 or empty,
/// and ``isExact`` tells.
public struct PayloadReader {
    private let bytes: [UInt8]
    private var position = 0
    private var isShort = false

    init(_ bytes: [UInt8]) {
        self.bytes = bytes
    }

    /// Whether everything was there that was read, and nothing else.
    var isExact: Bool { !isShort && position == bytes.count }

    /// The next 4 bytes.
    public mutating func uint32() -> UInt32 { number() }
    /// The next 8 bytes.
    public mutating func uint64() -> UInt64 { number() }

    private mutating func number<Number: FixedWidthInteger & UnsignedInteger>() -> Number {
        let size = Number.bitWidth / 8
        guard size <= bytes.count - position else {
            isShort = true
            return 0
        }
        defer { position += size }
        return bytes[position..<position + size].reversed().reduce(0) { $0 << 8 | Number($1) }
    }

    /// The bytes behind a number in 4 bytes, which says how many there are.
    public mutating func data() -> [UInt8] {
        let count = Int(uint32())
        guard count <= bytes.count - position else {
            isShort = true
            return []
        }
        defer { position += count }
        return Array(bytes[position..<position + count])
    }
}
