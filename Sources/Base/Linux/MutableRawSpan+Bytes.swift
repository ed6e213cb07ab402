import Glibc

extension MutableRawSpan {
    /// Replaces the bytes from `offset` on by those of `source`, which must fit.
    @_lifetime(self: copy self)
    public mutating func copy(_ source: RawSpan, to offset: Int) {
        let count = source.byteCount
        precondition(offset >= 0 && offset <= byteCount && count <= byteCount - offset)
        guard count > 0 else { return }
        withUnsafeMutableBytes { target in
            // SAFETY: both ranges are checked; memmove, for both may be parts of one buffer.
            _ = source.withUnsafeBytes { memmove(target.baseAddress! + offset, $0.baseAddress!, count) }
        }
    }

    /// Makes the bytes of `range`, which must lie inside, zero.
    @_lifetime(self: copy self)
    public mutating func clear(_ range: Range<Int>) {
        precondition(range.lowerBound >= 0 && range.upperBound <= byteCount)
        guard !range.isEmpty else { return }
        // SAFETY: the range is checked.
        withUnsafeMutableBytes { target in _ = memset(target.baseAddress! + range.lowerBound, 0, range.count) }
    }
}
