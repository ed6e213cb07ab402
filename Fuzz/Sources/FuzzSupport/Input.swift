/// The fuzzer's bytes, taken from the front; zeros when there are no more.
public struct Input {
    private let bytes: UnsafeRawBufferPointer
    private var position = 0

    /// - Parameters: what libFuzzer hands over; valid until the run ends.
    public init(_ start: UnsafePointer<UInt8>?, _ count: Int) {
        // SAFETY: libFuzzer owns the bytes for the time of the call.
        bytes = UnsafeRawBufferPointer(start: start, count: count)
    }

    public var isEmpty: Bool { position >= bytes.count }

    public mutating func byte() -> UInt8 {
        guard position < bytes.count else { return 0 }
        defer { position += 1 }
        return bytes[position]
    }

    public mutating func number(bytes count: Int) -> UInt64 {
        (0..<count).reduce(0) { number, index in number | UInt64(byte()) << UInt64(8 * index) }
    }

    public mutating func take(_ count: Int) -> [UInt8] {
        (0..<min(count, bytes.count - position)).map { _ in byte() }
    }
}

/// Bytes as choices, one for each: what chooses by a generator of random numbers chooses what the input says.
extension Input: RandomNumberGenerator {
    public mutating func next() -> UInt64 { UInt64(byte()) &* 0x0101_0101_0101_0101 }
}
