/// What a display without VGA modes keeps of the VGA: blanking, and a retrace to wait for.
struct VGA: Codable, Equatable, Sendable {
    /// Index register of the attribute controller. Bit 5 lets pixels through; while it is 0 the
    /// screen is blank. It is on from the start, for drivers that know of no VGA.
    var attributeIndex: UInt8 = 0x20
    /// Whether port 0x3c0 takes data next; reading the input status makes it take an index.
    var attributeTakesData = false
    var miscellaneous: UInt8 = 0
    /// The retrace bits as last read.
    var inputStatus: UInt8 = 0

    var isBlank: Bool { attributeIndex & 0x20 == 0 }

    /// Index and data in turn. The attribute registers themselves have no effect on any mode there
    /// is, and are not kept.
    mutating func writeAttribute(_ value: UInt8) {
        if !attributeTakesData { attributeIndex = value & 0x3f }
        attributeTakesData.toggle()
    }

    /// Says in turn that a retrace is on and that it is over, so that nobody waits for either for long.
    mutating func readInputStatus() -> UInt8 {
        attributeTakesData = false
        let verticalRetrace: UInt8 = 0x08
        let displayDisabled: UInt8 = 0x01
        inputStatus ^= verticalRetrace | displayDisabled
        return inputStatus
    }
}
