/// Which pages of guest memory a device has written since somebody last asked: what live migration copies again.
/// `VFIO_DEVICE_FEATURE_DMA_LOGGING_START`, `…_STOP`, `…_REPORT`
///
/// Takes memory only for what is written, and at most 64 MiB of it: enough for 2 TiB in pages of 4 KiB. Beyond
/// that it calls every page dirty until it is stopped.
public final class DirtyLog {
    /// A range of addresses to watch.
    public struct WatchedRange: Hashable, Sendable {
        public var address: UInt64
        /// In bytes.
        public var size: UInt64

        public init(address: UInt64, size: UInt64) {
            self.address = address
            self.size = size
        }

        /// The last address in it.
        var last: UInt64 { address + (size - 1) }
    }

    /// One bit for each of 32,768 pages.
    typealias Leaf = [UInt64]
    static let wordsPerLeaf = 512
    static let leafShift: UInt64 = 15
    private static let maximumLeaves = 16_384
    private static let maximumPageSize: UInt64 = 1 << 30

    /// Whether writes are logged.
    public private(set) var isStarted = false
    /// The unit of logging, as a power of two.
    var pageShift: UInt64 = 12
    /// Sorted, not overlapping; none means everything.
    var ranges: [WatchedRange] = []
    /// By page number divided by the pages in a leaf. Pages that are not here are clean.
    var leaves: [UInt64: Leaf] = [:]
    var isFull = false

    init() {}

    /// Begins to log writes; all pages are clean.
    ///
    /// - Parameters:
    ///   - pageSize: the unit, in bytes: a power of two from 4096 to 2^30, the largest page that there is.
    ///   - ranges: what to watch, in any order: whole pages, not overlapping. None means everything.
    public func start(pageSize: UInt64, ranges: [WatchedRange] = []) throws(DirtyLogError) {
        guard !isStarted else { throw .started }
        try Self.check(pageSize: pageSize)
        guard pageSize <= Self.maximumPageSize else { throw .invalidPageSize(pageSize) }
        for range in ranges {
            guard range.size > 0, (range.address | range.size) % pageSize == 0 else {
                throw .invalidRange(address: range.address, size: range.size)
            }
            guard range.size - 1 <= UInt64.max - range.address else {
                throw .overflow(address: range.address, size: range.size)
            }
        }
        let sorted = ranges.sorted { $0.address < $1.address }
        for (range, next) in zip(sorted, sorted.dropFirst()) where next.address <= range.last {
            throw .overlap(address: next.address)
        }
        self.ranges = sorted
        pageShift = UInt64(pageSize.trailingZeroBitCount)
        isStarted = true
    }

    /// Ends logging and forgets what was logged. Does nothing when it doesn't run.
    public func stop() {
        isStarted = false
        isFull = false
        ranges = []
        leaves = [:]
    }

    /// Notes that the device has written `size` bytes from `address` on by other ways than ``MappedMemory``.
    /// What runs past 2^64 is left out.
    public func mark(address: UInt64, size: UInt64) {
        guard size > 0 else { return }
        mark(address, through: address + min(size - 1, UInt64.max - address))
    }

    @inline(__always)
    func mark(_ start: UInt64, through last: UInt64) {
        if isStarted { markWatched(start, through: last) }
    }

    private func markWatched(_ start: UInt64, through last: UInt64) {
        guard !isFull else { return }
        guard !ranges.isEmpty else { return markPages(start >> pageShift, through: last >> pageShift) }
        var index = firstRange(endingFrom: start)
        while index < ranges.count, ranges[index].address <= last, !isFull {
            let range = ranges[index]
            markPages(max(start, range.address) >> pageShift, through: min(last, range.last) >> pageShift)
            index += 1
        }
    }

    /// The index of the first range that ends at or after `address`.
    func firstRange(endingFrom address: UInt64) -> Int {
        var low = 0
        var high = ranges.count
        while low < high {
            let middle = (low + high) / 2
            if ranges[middle].last < address { low = middle + 1 } else { high = middle }
        }
        return low
    }

    func markPages(_ first: UInt64, through last: UInt64) {
        let lastLeaf = last >> Self.leafShift
        var page = first
        while true {
            let leaf = page >> Self.leafShift
            guard leaves[leaf] != nil || leaves.count < Self.maximumLeaves else {
                isFull = true
                leaves = [:]
                return
            }
            let start = leaf << Self.leafShift
            let end = leaf == lastLeaf ? last : start + (1 << Self.leafShift) - 1
            Self.setBits(
                page - start, through: end - start,
                of: &leaves[leaf, default: Leaf(repeating: 0, count: Self.wordsPerLeaf)])
            if leaf == lastLeaf { return }
            page = end + 1
        }
    }

    private static func setBits(_ first: UInt64, through last: UInt64, of leaf: inout Leaf) {
        for word in first / 64...last / 64 {
            let low = word == first / 64 ? first % 64 : 0
            let high = word == last / 64 ? last % 64 : 63
            leaf[Int(word)] |= (UInt64.max >> (63 - (high - low))) << low
        }
    }
}
