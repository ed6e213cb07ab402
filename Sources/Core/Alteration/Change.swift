import Linux

/// What is made of the bytes that pass.
public enum Change: Equatable, Sendable {
    /// The first eight bytes, or as many as there are, are taken for a little-endian number: of it stays what is in
    /// `and`, then the bits of `or` are set and those of `xor` turned over.
    case bits(and: UInt64 = .max, or: UInt64 = 0, xor: UInt64 = 0)
    /// Every bit of all of them is set: what a bus gives when nobody answers.
    case ones
    /// One bit of them is turned over: this one modulo their number.
    case turn(bit: UInt64)

    @_lifetime(bytes: copy bytes)
    public func apply(to bytes: inout MutableRawSpan) {
        switch self {
        case .bits(let and, let or, let xor):
            for index in 0..<min(8, bytes.byteCount) {
                let shift = UInt64(8 * index)
                let byte = bytes.unsafeLoad(fromByteOffset: index, as: UInt8.self)
                let new =
                    byte & UInt8(truncatingIfNeeded: and >> shift) | UInt8(truncatingIfNeeded: or >> shift)
                bytes.storeBytes(of: new ^ UInt8(truncatingIfNeeded: xor >> shift), toByteOffset: index, as: UInt8.self)
            }
        case .ones:
            for index in 0..<bytes.byteCount { bytes.storeBytes(of: 0xff, toByteOffset: index, as: UInt8.self) }
        case .turn(let bit):
            guard !bytes.isEmpty else { return }
            let number = bit % (8 * UInt64(bytes.byteCount))
            let index = Int(number / 8)
            let byte = bytes.unsafeLoad(fromByteOffset: index, as: UInt8.self)
            bytes.storeBytes(of: byte ^ (1 << UInt8(number % 8)), toByteOffset: index, as: UInt8.self)
        }
    }

    /// A copy of bytes, changed.
    public func changed(_ bytes: RawSpan) -> [UInt8] {
        var copy: [UInt8] = []
        copy.append(bytes)
        var span = copy.mutableSpan
        var raw = span.mutableBytes
        apply(to: &raw)
        return copy
    }
}
