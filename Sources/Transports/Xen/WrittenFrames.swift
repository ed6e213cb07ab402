import CXen

/// Frames of a guest's memory that were written, as many pieces of them as there is room for.
struct WrittenFrames: ~Copyable {
    private var extents = InlineArray<32, cxen_extent>(repeating: cxen_extent())
    private var count = 0

    /// - Returns: false when there is no room for it.
    mutating func note(_ frame: UInt64) -> Bool {
        if count > 0 {
            let last = extents[count - 1]
            // Writes mostly go on where the one before has ended.
            if frame >= last.first, frame - last.first < UInt64(last.count) { return true }
            if frame == last.first + UInt64(last.count), last.count < .max {
                extents[count - 1].count += 1
                return true
            }
        }
        guard count < extents.count else { return false }
        extents[count] = cxen_extent(count: 1, unused: 0, first: frame)
        count += 1
        return true
    }

    /// Gives out what there is, and forgets it. Nothing is called where there is nothing.
    mutating func take(_ tell: (Span<cxen_extent>) -> Void) {
        guard count > 0 else { return }
        tell(extents.span.extracting(0..<count))
        count = 0
    }
}
