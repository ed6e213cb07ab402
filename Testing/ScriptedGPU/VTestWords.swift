/// What a program of vtest says, made by hand. virglrenderer's `vtest_protocol.h`
public enum VTestWords {
    /// A header and words.
    public static func message(_ number: UInt32, _ words: UInt32..., length: UInt32? = nil) -> [UInt8] {
        bytes([length ?? UInt32(words.count), number] + words)
    }

    public static func hello(_ name: String = "test") -> [UInt8] {
        message(8, length: UInt32(name.utf8.count + 1)) + Array(name.utf8) + [0]
    }

    public static func version(_ version: UInt32) -> [UInt8] { message(11, version) }

    /// A picture of 16 by 16 pixels; with memory, by VCMD_RESOURCE_CREATE2.
    public static func picture(_ handle: UInt32, memory: UInt32? = nil) -> [UInt8] {
        let words: [UInt32] = [handle, 2, 1, 2, 16, 16, 1, 1, 0, 0]
        return bytes(memory.map { [11, 12] + words + [$0] } ?? ([10, 2] + words))
    }

    public static func submit(_ words: [UInt32]) -> [UInt8] { bytes([UInt32(words.count), 6] + words) }
    public static func busyWait(waits: Bool) -> [UInt8] { message(7, 0, waits ? 1 : 0) }

    /// Of 16 by 16 pixels, with VCMD_TRANSFER_GET2 or PUT2.
    public static func transfer2(_ number: UInt32, _ handle: UInt32, offset: UInt32 = 0) -> [UInt8] {
        message(number, handle, 0, 0, 0, 0, 16, 16, 1, 0, offset)
    }

    /// The same by socket, with VCMD_TRANSFER_GET or PUT.
    public static func transfer(_ number: UInt32, _ handle: UInt32, size: UInt32) -> [UInt8] {
        message(number, handle, 0, 64, 1024, 0, 0, 0, 16, 16, 1, size)
    }

    public static func bytes(_ words: [UInt32]) -> [UInt8] {
        words.flatMap { word in (0..<4).map { UInt8(truncatingIfNeeded: word >> UInt32(8 * $0)) } }
    }
}
