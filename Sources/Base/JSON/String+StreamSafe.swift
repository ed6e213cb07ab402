extension String {
    /// The most combining characters in a row. Unicode Standard Annex #15, section 13, "Stream-Safe Text Format"
    private static let longestRun = 30

    /// Whether the text has no longer run of combining characters than any language needs.
    ///
    /// Swift compares and hashes text by canonical equivalence, and so has to sort each run: in time that grows with
    /// the square of its length, minutes for 1 MiB. Text from others is compared only when this is true.
    public var isStreamSafe: Bool {
        var run = 0
        for scalar in unicodeScalars {
            // Nothing combines before U+0300.
            let combines = scalar.value >= 0x300 && scalar.properties.canonicalCombiningClass != .notReordered
            run = combines ? run + 1 : 0
            guard run <= Self.longestRun else { return false }
        }
        return true
    }
}
