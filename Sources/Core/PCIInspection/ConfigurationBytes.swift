/// A function's configuration space as some server gave it: 256 bytes, 4096, or fewer. Nothing in it is trusted.
package struct ConfigurationBytes {
    package let bytes: [UInt8]

    /// The little-endian number of `width` bytes at `offset`, 1 to 8; nil when it isn't all there.
    func load(at offset: Int, width: Int) -> UInt64? {
        guard offset >= 0, offset <= bytes.count, width <= bytes.count - offset else { return nil }
        return bytes[offset..<offset + width].reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }

    /// As ``load(at:width:)``, with zeros for bytes that aren't there.
    func number<Number: FixedWidthInteger>(at offset: Int, as type: Number.Type = Number.self) -> Number {
        Number(truncatingIfNeeded: load(at: offset, width: Number.bitWidth / 8) ?? 0)
    }

    /// The bytes from `start` up to `end`, as far as they are there.
    func slice(from start: Int, to end: Int) -> [UInt8] {
        let start = min(max(0, start), bytes.count)
        return Array(bytes[start..<min(max(start, end), bytes.count)])
    }

    /// Lines of sixteen bytes, as `lspci -xxxx` prints them.
    package var dump: [String] {
        stride(from: 0, to: bytes.count, by: 16).map { start in
            "\(start.hexadecimal(digits: 2)): \(slice(from: start, to: start + 16).hexadecimal(separator: " "))"
        }
    }
}

extension BinaryInteger {
    /// In hexadecimal, with at least so many digits.
    package func hexadecimal(digits: Int = 1) -> String {
        let text = String(self, radix: 16)
        return String(repeating: "0", count: max(0, digits - text.count)) + text
    }
}

extension [UInt8] {
    /// Two hexadecimal digits for each byte.
    package func hexadecimal(separator: String = "") -> String {
        map { $0.hexadecimal(digits: 2) }.joined(separator: separator)
    }
}
