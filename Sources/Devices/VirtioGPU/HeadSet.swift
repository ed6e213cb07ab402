/// Some of the heads.
struct HeadSet: OptionSet, Codable {
    let rawValue: UInt8

    /// - Parameter number: of one head, below ``Head/maximumCount``.
    init(head number: Int) {
        rawValue = 1 << number
    }

    init(rawValue: UInt8) {
        self.rawValue = rawValue
    }

    func contains(_ number: Int) -> Bool { contains(HeadSet(head: number)) }
}
