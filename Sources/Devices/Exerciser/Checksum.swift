extension Exerciser {
    /// The CRC-32 of the buffer as it is now, as zip and Ethernet use it: reflected polynomial 0xedb88320,
    /// all ones before, complemented after. ISO/IEC 8802-3, section 3.2.9.
    func checksum() -> UInt32 {
        var crc: UInt32 = .max
        var piece = [UInt8](repeating: 0, count: Self.pieceSize)
        for place in stride(from: 0, to: Self.bufferSize, by: Self.pieceSize) {
            var span = piece.mutableSpan
            var bytes = span.mutableBytes
            host.look(at: memory, from: Self.bufferOffset + place, count: Self.pieceSize, into: &bytes)
            for byte in piece {
                crc = crc >> 8 ^ Self.crcTable[Int(UInt8(truncatingIfNeeded: crc) ^ byte)]
            }
        }
        return ~crc
    }

    private static let crcTable: [UInt32] = (0..<256).map { index in
        (0..<8).reduce(UInt32(index)) { value, _ in value & 1 != 0 ? value >> 1 ^ 0xedb8_8320 : value >> 1 }
    }
}
