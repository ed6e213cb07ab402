extension DirtyLog {
    /// How many bytes of bitmap a report needs: one bit for each page, in whole 64-bit words.
    public static func bitmapSize(size: UInt64, pageSize: UInt64) throws(DirtyLogError) -> UInt64 {
        try check(pageSize: pageSize)
        guard size > 0 else { return 0 }
        return ((size - 1) / pageSize / 64 + 1) * 8
    }

    static func check(pageSize: UInt64) throws(DirtyLogError) {
        guard pageSize >= 4096, pageSize.nonzeroBitCount == 1 else { throw .invalidPageSize(pageSize) }
    }

    /// Tells which pages of a range are dirty, and makes them clean. An unmap whose dirty pages are wanted calls
    /// it when nobody holds the memory any more.
    ///
    /// The unit of the report may be larger or smaller than that of the log: a bit is set when any byte of its page may
    /// have been written. A page of the log that lies partly outside the range stays dirty.
    ///
    /// - Parameters:
    ///   - address: where bit 0's page begins.
    ///   - size: in bytes, at least 1.
    ///   - pageSize: how many bytes a bit stands for: a power of two, at least 4096.
    ///   - bitmap: one bit for each page, lowest bit of the lowest byte first. Bits are set and never cleared.
    public func report(
        address: UInt64, size: UInt64, pageSize: UInt64, into bitmap: inout MutableRawSpan
    ) throws(DirtyLogError) {
        guard isStarted else { throw .notStarted }
        try Self.check(pageSize: pageSize)
        guard size > 0 else { throw .invalidRange(address: address, size: size) }
        guard size - 1 <= UInt64.max - address else { throw .overflow(address: address, size: size) }
        let report = Report(
            address: address, last: address + (size - 1), shift: UInt64(pageSize.trailingZeroBitCount))
        let needed = (size - 1) / pageSize / 8 + 1
        guard UInt64(bitmap.byteCount) >= needed else {
            throw .bitmapTooSmall(bytes: bitmap.byteCount, needed: needed)
        }
        guard !isFull else { return reportEverything(report, into: &bitmap) }
        let first = report.address >> (pageShift + Self.leafShift)
        let last = report.last >> (pageShift + Self.leafShift)
        if last - first < UInt64(leaves.count) {
            for leaf in first...last { take(leaf, for: report, into: &bitmap) }
        } else {
            for leaf in leaves.keys.filter({ first <= $0 && $0 <= last }) { take(leaf, for: report, into: &bitmap) }
        }
    }

    /// A range in the units of whoever asks.
    private struct Report {
        var address: UInt64
        var last: UInt64
        var shift: UInt64

        /// Sets the bits of all pages that have an address from `start` to `last`, as far as the report goes.
        func set(_ start: UInt64, through last: UInt64, in bitmap: inout MutableRawSpan) {
            let first = (max(start, address) - address) >> shift
            let last = (min(last, self.last) - address) >> shift
            for byte in first / 8...last / 8 {
                let low = byte == first / 8 ? first % 8 : 0
                let high = byte == last / 8 ? last % 8 : 7
                let bits = (UInt8.max >> UInt8(7 - (high - low))) << UInt8(low)
                let old = bitmap.unsafeLoadUnaligned(fromUncheckedByteOffset: Int(byte), as: UInt8.self)
                bitmap.storeBytes(of: old | bits, toByteOffset: Int(byte), as: UInt8.self)
            }
        }
    }

    /// Moves the dirty pages of one leaf to the report.
    private func take(_ index: UInt64, for report: Report, into bitmap: inout MutableRawSpan) {
        guard var leaf = leaves.removeValue(forKey: index) else { return }
        var isClean = true
        for word in leaf.indices where leaf[word] != 0 {
            var left = leaf[word]
            while left != 0 {
                let bit = left.trailingZeroBitCount
                left &= left - 1
                let start = ((index << Self.leafShift) + UInt64(word * 64 + bit)) << pageShift
                let last = start + ((1 << pageShift) - 1)
                guard start <= report.last, report.address <= last else { continue }
                report.set(start, through: last, in: &bitmap)
                if report.address <= start, last <= report.last { leaf[word] &= ~(1 << UInt64(bit)) }
            }
            isClean = isClean && leaf[word] == 0
        }
        if !isClean { leaves[index] = leaf }
    }

    /// What a log reports that has lost count.
    private func reportEverything(_ report: Report, into bitmap: inout MutableRawSpan) {
        guard !ranges.isEmpty else { return report.set(report.address, through: report.last, in: &bitmap) }
        var index = firstRange(endingFrom: report.address)
        while index < ranges.count, ranges[index].address <= report.last {
            report.set(ranges[index].address, through: ranges[index].last, in: &bitmap)
            index += 1
        }
    }
}
