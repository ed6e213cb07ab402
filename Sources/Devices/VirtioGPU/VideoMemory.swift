import Linux

/// The memory of all pixels: one file, handed out in whole pages. What is in nobody's hands is zero and takes no memory.
struct VideoMemory {
    let file: MemoryFile
    /// What may be handed out.
    private let space: Range<Int>
    /// What is left: sorted, none adjoining another.
    private var free: [Range<Int>]

    /// - Parameters:
    ///   - reserved: bytes at the beginning that are not handed out.
    ///   - size: bytes that are, both in whole pages.
    init(reserved: Int, size: Int) throws(Errno) {
        file = try MemoryFile(name: "vram", size: reserved + size)
        space = reserved..<file.size
        free = [space]
    }

    /// - Parameter count: in bytes, at least 1.
    /// - Returns: at least so many bytes; nil when no piece that is left is large enough.
    mutating func allocate(_ count: Int) -> Range<Int>? {
        guard count > 0, count <= space.count else { return nil }
        let page = 4096
        let size = (count + page - 1) / page * page
        // The smallest piece that is large enough leaves the large ones for large pictures.
        guard
            let index = free.indices.filter({ free[$0].count >= size }).min(by: { free[$0].count < free[$1].count })
        else { return nil }
        let start = free[index].lowerBound
        free[index] = start + size..<free[index].upperBound
        if free[index].isEmpty { free.remove(at: index) }
        return start..<start + size
    }

    /// Takes back what ``allocate(_:)`` gave.
    mutating func release(_ range: Range<Int>) {
        erase(range)
        let index = free.firstIndex { $0.lowerBound >= range.upperBound } ?? free.count
        free.insert(range, at: index)
        merge(index)
        if index > 0 { merge(index - 1) }
    }

    /// Joins a piece with the next one, when they adjoin.
    private mutating func merge(_ index: Int) {
        guard index + 1 < free.count, free[index].upperBound == free[index + 1].lowerBound else { return }
        let next = free.remove(at: index + 1)
        free[index] = free[index].lowerBound..<next.upperBound
    }

    /// Takes everything back, and makes it zero, what is reserved included.
    mutating func reset() {
        free = [space]
        erase(0..<file.size)
    }

    /// Holds these ranges as handed out, and nothing else. What the file holds stays.
    ///
    /// - Returns: false when some overlap, or are none that could have been handed out; nothing changes then.
    mutating func hold(_ ranges: [Range<Int>]) -> Bool {
        var left: [Range<Int>] = []
        var end = space.lowerBound
        for range in ranges.sorted(by: { $0.lowerBound < $1.lowerBound }) {
            guard range.lowerBound >= end, range.upperBound <= space.upperBound, !range.isEmpty else { return false }
            guard range.lowerBound % 4096 == 0, range.count % 4096 == 0 else { return false }
            if range.lowerBound > end { left.append(end..<range.lowerBound) }
            end = range.upperBound
        }
        if end < space.upperBound { left.append(end..<space.upperBound) }
        free = left
        return true
    }

    private func erase(_ range: Range<Int>) {
        do throws(Errno) {
            try file.clear(range)
        } catch {
            // The system has no memory for making a hole: the pages stay.
            file.clear(at: range.lowerBound, count: range.count)
        }
    }
}
