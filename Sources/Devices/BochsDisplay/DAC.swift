/// The palette and the way to it: an index, then red, green and blue one after the other.
struct DAC: Codable, Equatable, Sendable {
    /// 256 times red, green, blue, of 6 or 8 significant bits as they were written.
    var components = [UInt8](repeating: 0, count: 768)
    /// Anded with a pixel before it is looked up.
    var pixelMask: UInt8 = 0xff
    var readIndex: UInt8 = 0
    var writeIndex: UInt8 = 0
    /// Which component comes next, 0 to 2.
    var component: UInt8 = 0
    /// Whether the last index was one to read from.
    var isReading = false
    /// Red and green until blue comes, and all three are stored.
    var latch: [UInt8] = [0, 0]

    mutating func startReading(at index: UInt8) {
        readIndex = index
        component = 0
        isReading = true
    }

    mutating func startWriting(at index: UInt8) {
        writeIndex = index
        component = 0
        isReading = false
    }

    mutating func readComponent() -> UInt8 {
        let value = components[Int(readIndex) * 3 + Int(component)]
        if advance() { readIndex &+= 1 }
        return value
    }

    /// - Parameter bits: how many of `value` count, from the lowest: 6 or 8.
    mutating func writeComponent(_ value: UInt8, bits: Int) {
        let value = bits == 8 ? value : value & 0x3f
        if component < 2 {
            latch[Int(component)] = value
        } else {
            let place = Int(writeIndex) * 3
            components[place] = latch[0]
            components[place + 1] = latch[1]
            components[place + 2] = value
        }
        if advance() { writeIndex &+= 1 }
    }

    /// Goes on to the next component.
    ///
    /// - Returns: whether it is the next colour's.
    private mutating func advance() -> Bool {
        component = component == 2 ? 0 : component + 1
        return component == 0
    }

    /// 256 colours as 0xRRGGBB.
    ///
    /// - Parameter bits: of each component, 6 or 8.
    func palette(bits: Int) -> [UInt32] {
        (0..<256).map { pixel in
            let place = (pixel & Int(pixelMask)) * 3
            return components[place..<place + 3].reduce(0) { colour, component in
                let byte = bits == 8 ? component : component << 2 | component >> 4 & 0x03
                return colour << 8 | UInt32(byte)
            }
        }
    }
}
