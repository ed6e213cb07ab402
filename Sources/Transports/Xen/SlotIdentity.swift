/// Whose a function in a slot is: a text that whoever starts processes gives all those that may go on for each other.
public struct SlotIdentity: Equatable, Sendable {
    /// In bytes of UTF-8.
    public static let maximumSize = 48
    static let wordCount = maximumSize / MemoryLayout<UInt64>.size

    private let words: [UInt64]

    /// - Returns: nil unless it has 1 to ``maximumSize`` bytes, and none of them is 0.
    public init?(_ text: String) {
        let bytes = Array(text.utf8)
        guard 1...Self.maximumSize ~= bytes.count, !bytes.contains(0) else { return nil }
        words = (0..<Self.wordCount).map { word in
            bytes.dropFirst(8 * word).prefix(8).reversed().reduce(0) { $0 << 8 | UInt64($1) }
        }
    }

    /// In the form in which it is noted. That of none is no text's.
    static func words(of identity: Self?) -> [UInt64] { identity?.words ?? Array(repeating: 0, count: wordCount) }
}
