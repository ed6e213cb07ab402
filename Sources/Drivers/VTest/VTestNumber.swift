/// The kinds of messages of vtest. `VCMD_…`
public enum VTestNumber: UInt32, Sendable {
    case getCapabilities = 1
    case createResource = 2
    case unreference = 3
    case get = 4
    case put = 5
    case submit = 6
    case busyWait = 7
    case createRenderer = 8
    case getCapabilities2 = 9
    case ping = 10
    case version = 11
    case createResource2 = 12
    case get2 = 13
    case put2 = 14
    case parameter = 15
    case capabilitySet = 16
    case initializeContext = 17
    /// Ours: vtest has none so high. "stay"
    case stay = 0x7374_6179

    /// A whole message: its length and this number, then words that follow.
    public func message(_ words: [UInt32] = []) -> [UInt8] {
        message(length: UInt32(words.count), words.littleEndian)
    }

    /// The same with what is no words, whose length is told in bytes.
    public func message(text: [UInt8]) -> [UInt8] { message(length: UInt32(text.count), text) }

    private func message(length: UInt32, _ payload: [UInt8]) -> [UInt8] {
        [length, rawValue].littleEndian + payload
    }
}

extension [UInt32] {
    /// The bytes of each number, the lowest one first.
    var littleEndian: [UInt8] {
        flatMap { word in (0..<4).map { UInt8(truncatingIfNeeded: word >> UInt32(8 * $0)) } }
    }
}
