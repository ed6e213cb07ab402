/// Maps by address: sorted, not overlapping, found by binary search.
///
/// The maps are kept in blocks of up to 128, as in a B+ tree of two levels: an insertion or removal
/// moves the entries of one block, not of the whole table. Starts are apart from the rest, so that a search
/// reads few cache lines. O(log n) to look up; appending in ascending order fills the blocks.
struct MapTable {
    private static let blockCapacity = 128

    private struct Block {
        var starts: [UInt64] = []
        var windows: [Window] = []
        var regions: [Region] = []

        var count: Int { starts.count }

        mutating func insert(_ window: Window, _ region: Region, at index: Int) {
            starts.insert(window.start, at: index)
            windows.insert(window, at: index)
            regions.insert(region, at: index)
        }

        mutating func remove(at index: Int) -> Region {
            starts.remove(at: index)
            windows.remove(at: index)
            return regions.remove(at: index)
        }

        mutating func append(_ other: Block) {
            starts += other.starts
            windows += other.windows
            regions += other.regions
        }

        /// Keeps the first `count` entries and returns the rest.
        mutating func split(at count: Int) -> Block {
            let rest = Block(
                starts: Array(starts[count...]), windows: Array(windows[count...]), regions: Array(regions[count...]))
            starts.removeSubrange(count...)
            windows.removeSubrange(count...)
            regions.removeSubrange(count...)
            return rest
        }
    }

    private struct Position {
        var block: Int
        var entry: Int
    }

    /// The lowest start in each block.
    private var firsts: [UInt64] = []
    /// None is empty, but for the only one: maps that come and go find their room again.
    private var blocks: [Block] = []
    private(set) var count = 0
    private var cache = WindowCache()

    /// The map that contains `address`.
    mutating func window(at address: UInt64) -> Window? {
        guard !cache.isEmpty else { return search(for: address) }
        if let found = cache.window(at: address) { return found }
        guard let found = search(for: address) else { return nil }
        cache.keep(found, at: address)
        return found
    }

    private func search(for address: UInt64) -> Window? {
        guard let position = last(startingUpTo: address) else { return nil }
        let window = blocks[position.block].windows[position.entry]
        return address <= window.last ? window : nil
    }

    /// What is behind the map that contains `address`.
    func region(at address: UInt64) -> Region? {
        guard let position = last(startingUpTo: address),
            address <= blocks[position.block].windows[position.entry].last
        else { return nil }
        return blocks[position.block].regions[position.entry]
    }

    /// Whether any map has an address from `start` to `last`.
    func overlaps(_ start: UInt64, through last: UInt64) -> Bool {
        guard let position = self.last(startingUpTo: last) else { return false }
        return blocks[position.block].windows[position.entry].last >= start
    }

    /// Every map, in ascending order.
    func forEach(_ body: (Window, Region) -> Void) {
        for block in blocks {
            for (window, region) in zip(block.windows, block.regions) { body(window, region) }
        }
    }

    /// - Precondition: it overlaps no other map.
    mutating func insert(_ window: Window, _ region: Region) {
        count += 1
        cache.grow(for: count)
        guard !blocks.isEmpty else {
            blocks.append(Block(starts: [window.start], windows: [window], regions: [region]))
            firsts.append(window.start)
            return
        }
        let before = last(startingUpTo: window.start)
        var block = before?.block ?? 0
        var entry = before.map { $0.entry + 1 } ?? 0
        if blocks[block].count == Self.blockCapacity {
            // Ascending insertions leave full blocks behind them; all others leave halves.
            let isAppend = entry == Self.blockCapacity
            let kept = isAppend ? entry : Self.blockCapacity / 2
            let rest = blocks[block].split(at: kept)
            blocks.insert(rest, at: block + 1)
            firsts.insert(rest.starts.first ?? window.start, at: block + 1)
            if entry > kept || isAppend {
                block += 1
                entry -= kept
            }
        }
        blocks[block].insert(window, region, at: entry)
        firsts[block] = blocks[block].starts[0]
    }

    /// Removes the map from `start` to `last`.
    ///
    /// - Returns: what was behind it; nil when there is no map with exactly these bounds.
    mutating func remove(_ start: UInt64, through last: UInt64) -> Region? {
        guard let position = self.last(startingUpTo: start) else { return nil }
        let window = blocks[position.block].windows[position.entry]
        guard window.start == start, window.last == last else { return nil }
        let region = blocks[position.block].remove(at: position.entry)
        cache.forget(window)
        count -= 1
        if count == 0 { return region }
        if blocks[position.block].count == 0 {
            blocks.remove(at: position.block)
            firsts.remove(at: position.block)
        } else {
            firsts[position.block] = blocks[position.block].starts[0]
            mergeIfSmall(position.block)
        }
        return region
    }

    /// Joins a block with the next one while both together are half a block at most.
    private mutating func mergeIfSmall(_ block: Int) {
        guard block + 1 < blocks.count, blocks[block].count + blocks[block + 1].count <= Self.blockCapacity / 2
        else { return }
        firsts.remove(at: block + 1)
        let next = blocks.remove(at: block + 1)
        blocks[block].append(next)
    }

    /// The last map that starts at or before `address`.
    private func last(startingUpTo address: UInt64) -> Position? {
        guard let block = Self.search(firsts, address), let entry = Self.search(blocks[block].starts, address) else {
            return nil
        }
        return Position(block: block, entry: entry)
    }

    /// The index of the last key that is at most `address`. Each step adds half the distance or nothing,
    /// by arithmetic: a branch on a random address would be guessed wrongly every other time.
    @inline(__always)
    private static func search(_ keys: borrowing [UInt64], _ address: UInt64) -> Int? {
        let keys = keys.span
        guard !keys.isEmpty, keys[0] <= address else { return nil }
        var base = 0
        var left = keys.count
        while left > 1 {
            let half = left >> 1
            // SAFETY: base + left <= count holds throughout, and half < left.
            let distance = UInt128(address) &- UInt128(keys[unchecked: base &+ half])
            // All ones when the key is above the address: 128 bits, because the compiler turns a comparison
            // back into a branch.
            let isAbove = Int(truncatingIfNeeded: distance >> 64)
            base &+= half & ~isAbove
            left &-= half
        }
        return base
    }
}
