import VFIO

/// Messages that nobody would send: random ones, and right ones with something changed.
public enum HostileMessage {
    private static let right: [[UInt8]] = [
        message(.dmaMap, wire(UInt32(32), UInt32(3), UInt64(0), UInt64(0), UInt64(4096))),
        message(.dmaUnmap, wire(UInt32(24), UInt32(0), UInt64(0), UInt64(4096))),
        message(.dmaUnmap, wire(UInt32(48), UInt32(1), UInt64(0), UInt64(4096), UInt64(4096), UInt64(8))),
        message(.deviceGetInfo, wire(UInt32(16), UInt32(0), UInt32(0), UInt32(0))),
        message(.deviceGetRegionInfo, wire(UInt32(64), UInt32(0), UInt32(2), UInt32(0), UInt64(0), UInt64(0))),
        message(.deviceGetRegionIOFDs, wire(UInt32(64), UInt32(0), UInt32(0), UInt32(0))),
        message(.deviceGetIRQInfo, wire(UInt32(16), UInt32(0), UInt32(1), UInt32(0))),
        message(.deviceSetIRQs, wire(UInt32(20), UInt32(4 | 32), UInt32(2), UInt32(0), UInt32(1))),
        message(.deviceSetIRQs, wire(UInt32(21), UInt32(2 | 8), UInt32(2), UInt32(0), UInt32(1), UInt8(1))),
        message(.regionRead, wire(UInt64(0), UInt32(0), UInt32(4))),
        message(.regionRead, wire(UInt64(0), UInt32(7), UInt32(64))),
        message(.regionWrite, wire(UInt64(0x38), UInt32(0), UInt32(4), UInt32(3))),
        message(.regionWrite, wire(UInt64(0x500), UInt32(2), UInt32(4), UInt32(1))),
        message(.regionWrite, wire(UInt64(4), UInt32(7), UInt32(2), UInt16(7))),
        // Long enough to go straight to the memory behind a BAR, where there is one.
        message(.regionWrite, wire(UInt64(4096), UInt32(2), UInt32(16 << 10)) + Array(repeating: 7, count: 16 << 10)),
        message(.regionWriteMulti, wire(UInt64(1), UInt64(8), UInt32(0), UInt32(8), UInt64(0))),
        message(.deviceReset),
        message(.deviceFeature, wire(UInt32(16), UInt32(2 | 1 << 17), UInt32(4), UInt32(0))),
        message(.deviceFeature, wire(UInt32(40), UInt32(8 | 1 << 16), UInt64(0), UInt64(4096), UInt64(4096))),
        message(.deviceFeature, wire(UInt32(24), UInt32(6 | 1 << 17), UInt64(4096), UInt32(0), UInt32(0))),
        message(.migrationDataRead, wire(UInt32(72), UInt32(64))),
        message(.migrationDataWrite, wire(UInt32(12), UInt32(4), UInt32(0))),
        message(.version, wire(UInt16(0), UInt16(0))),
    ]

    /// The next one, whole, whose header says how long it is but for one in about a thousand.
    public static func next(using random: inout some RandomNumberGenerator) -> [UInt8] {
        var bytes = right[Int(random.next() % UInt64(right.count))]
        let kind = random.next() % 16
        if kind == 0 {
            bytes = wire(UInt16(0), UInt16(random.next() % 20), UInt32(0), UInt64(0))
            for _ in 0..<random.next() % 8 { bytes += wire(random.next()) }
        } else {
            for _ in 0..<random.next() % 4 {
                let position = 8 + Int(random.next() % UInt64(bytes.count - 8))
                switch random.next() % 4 {
                case 0: bytes[position] ^= 1 << UInt8(random.next() % 8)
                case 1: bytes[position] = UInt8(truncatingIfNeeded: random.next())
                case 2 where bytes.count - position >= 8:
                    let edges: [UInt64] = [0, 1, .max, .max - 7, 1 << 63, 4096, 1 << 32]
                    bytes = bytes.replacing(at: position / 8 * 8, with: edges[Int(random.next() % 7)])
                default: bytes[position] = 0xff
                }
            }
            if kind == 1 { bytes = Array(bytes.prefix(16 + Int(random.next() % UInt64(bytes.count - 15)))) }
            if kind == 2 {
                bytes += Array(repeating: UInt8(truncatingIfNeeded: random.next()), count: 1 + Int(random.next() % 64))
            }
        }
        bytes = bytes.replacing(at: 4, with: UInt32(bytes.count))
        // Now and then a length that is none: where the next message begins can't be known then.
        return random.next() % 1024 == 0 ? bytes.replacing(at: 4, with: UInt32(random.next() % 16)) : bytes
    }
}
