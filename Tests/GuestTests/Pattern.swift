import Testing

/// What the guest's `fbpattern` draws, as 3 bytes for each pixel of a line.
private func pattern(_ y: Int, width: Int) -> [UInt8] {
    var row: [UInt8] = []
    for x in 0..<width {
        for channel in [7 * x + 3 * y, 3 * x + 11 * y, x ^ y] { row.append(UInt8(truncatingIfNeeded: channel)) }
    }
    return row
}

/// Expects every pixel of what the guest's `fbpattern` draws.
func expectPattern(
    on display: VirtualDevice, width: Int, height: Int, sourceLocation: SourceLocation = #_sourceLocation
) throws {
    let picture = try display.picture()
    #expect(picture.width == width && picture.height == height, sourceLocation: sourceLocation)
    let wrong = picture.rows.indices.filter { picture.rows[$0] != pattern($0, width: width) }
    #expect(wrong.isEmpty, "lines that differ: \(wrong.prefix(8))", sourceLocation: sourceLocation)
}
