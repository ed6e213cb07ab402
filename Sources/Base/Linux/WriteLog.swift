/// Whoever notes which pages of a ``MappedBytes`` others have written to. Calls come on one thread.
public protocol WriteLog: AnyObject, Sendable {
    /// Which pages may have been written since the last call for the same range; more than that at any time.
    ///
    /// - Returns: nil where that can't be told: all may have been.
    func takeWritten(_ range: Range<Int>) -> WrittenPages?

    /// This process has written.
    func noteOwnWrite()

    /// Nobody looks any more.
    func stop()
}

/// Pages that were written.
public struct WrittenPages: Sendable {
    private let bits: [UInt64]
    private let firstPage: Int
    private let pageSize: Int

    /// - Parameters:
    ///   - bits: one for each page, the first one lowest.
    ///   - firstPage: whose bit is the first.
    ///   - pageSize: in bytes.
    public init(_ bits: [UInt64], firstPage: Int, pageSize: Int) {
        self.bits = bits
        self.firstPage = firstPage
        self.pageSize = pageSize
    }

    /// Whether any page with some of these bytes was written. What the bits don't tell of was.
    public func touches(_ bytes: Range<Int>) -> Bool {
        guard !bytes.isEmpty else { return false }
        for page in bytes.lowerBound / pageSize...(bytes.upperBound - 1) / pageSize {
            let bit = page - firstPage
            guard bit >= 0, bit / 64 < bits.count else { return true }
            if bits[bit / 64] & 1 << UInt64(bit % 64) != 0 { return true }
        }
        return false
    }
}
