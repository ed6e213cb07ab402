/// A line of the picture that the guest's `fbpattern` draws, as 3 bytes for each pixel.
public func patternRow(_ y: Int, width: Int) -> [UInt8] {
    var row: [UInt8] = []
    for x in 0..<width {
        for channel in [7 * x + 3 * y, 3 * x + 11 * y, x ^ y] { row.append(UInt8(truncatingIfNeeded: channel)) }
    }
    return row
}
