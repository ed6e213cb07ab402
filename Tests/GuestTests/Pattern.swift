import Testing

extension VirtualDevice {
    /// Expects what the guest's `fbpattern` draws, pixel by pixel.
    func expectPattern(
        head: Int = 0, width: Int, height: Int, sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        let picture = try picture(head: head)
        #expect(picture.width == width && picture.height == height, sourceLocation: sourceLocation)
        let wrong = picture.rows.indices.filter { picture.rows[$0] != patternRow($0, width: width) }
        #expect(wrong.isEmpty, "lines that differ: \(wrong.prefix(8))", sourceLocation: sourceLocation)
    }
}

/// A line of the pattern, as 3 bytes for each pixel.
func patternRow(_ y: Int, width: Int) -> [UInt8] {
    var row: [UInt8] = []
    for x in 0..<width {
        for channel in [7 * x + 3 * y, 3 * x + 11 * y, x ^ y] { row.append(UInt8(truncatingIfNeeded: channel)) }
    }
    return row
}
