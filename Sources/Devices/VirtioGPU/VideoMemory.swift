import Device
import Linux

/// The memory of all pixels, handed out in whole pages, and the count of what the renderer takes beside it. What is in
/// nobody's hands is zero and takes no memory.
final class VideoMemory {
    let bytes: MappedBytes
    /// What may be handed out.
    private let space: Range<Int>
    /// What is left: sorted, none adjoining another.
    private var free: [Range<Int>]
    /// How many bytes may be handed out at a time, those elsewhere included.
    var limit: Int
    /// How many bytes are taken elsewhere, in the renderer.
    private(set) var elsewhere = 0
    /// Pieces that the renderer writes to, by where they begin, and how often it does.
    private var writers: [Int: Int] = [:]
    /// Those of them that were taken back meanwhile.
    private var leaving: [Range<Int>] = []

    /// The largest limit. There is room for it whatever the limit is, so that pictures rarely find what is left in
    /// pieces.
    static let size = 512 << 20
    private static let page = 4096

    /// - Parameters:
    ///   - reserved: bytes at the beginning that are not handed out, in whole pages.
    ///   - host: whose the memory is.
    init(reserved: Int, limit: Int, of host: DeviceMemory) throws(DeviceMemoryError) {
        bytes = try host.take("vram", size: reserved + Self.size)
        space = reserved..<bytes.size
        free = [space]
        self.limit = limit
    }

    /// How many bytes are handed out.
    var used: Int { space.count - free.reduce(0) { $0 + $1.count } + elsewhere }

    /// - Parameter count: in bytes, at least 1.
    /// - Returns: at least so many bytes; nil when that is more than the limit leaves, or no piece is large enough.
    func allocate(_ count: Int) -> Range<Int>? {
        guard count > 0, count <= limit else { return nil }
        let size = (count + Self.page - 1) / Self.page * Self.page
        guard size <= limit - used else { return nil }
        // The smallest piece that is large enough leaves the large ones for large pictures.
        guard
            let index = free.indices.filter({ free[$0].count >= size }).min(by: { free[$0].count < free[$1].count })
        else { return nil }
        let start = free[index].lowerBound
        free[index] = start + size..<free[index].upperBound
        if free[index].isEmpty { free.remove(at: index) }
        return start..<start + size
    }

    /// Counts memory that is taken elsewhere.
    ///
    /// - Returns: false when that is more than the limit leaves.
    func reserve(_ count: Int) -> Bool {
        guard count >= 0, count <= limit, count <= limit - used else { return false }
        elsewhere += count
        return true
    }

    /// Takes back what was ``reserve(_:)``d.
    func giveBack(_ count: Int) {
        elsewhere = max(0, elsewhere - count)
    }

    /// The renderer writes to a piece: it isn't handed out anew before ``endWriting(to:)``, once for each call.
    func beginWriting(to range: Range<Int>) {
        writers[range.lowerBound, default: 0] += 1
    }

    func endWriting(to range: Range<Int>) {
        guard let count = writers[range.lowerBound] else { return }
        writers[range.lowerBound] = count == 1 ? nil : count - 1
        guard count == 1, let index = leaving.firstIndex(of: range) else { return }
        release(leaving.remove(at: index))
    }

    /// Takes back what ``allocate(_:)`` gave.
    func release(_ range: Range<Int>) {
        guard writers[range.lowerBound] == nil else { return leaving.append(range) }
        bytes.erase(range)
        let index = free.firstIndex { $0.lowerBound >= range.upperBound } ?? free.count
        free.insert(range, at: index)
        merge(index)
        if index > 0 { merge(index - 1) }
    }

    /// Joins a piece with the next one, when they adjoin.
    private func merge(_ index: Int) {
        guard index + 1 < free.count, free[index].upperBound == free[index + 1].lowerBound else { return }
        let next = free.remove(at: index + 1)
        free[index] = free[index].lowerBound..<next.upperBound
    }

    /// Takes everything back, and makes it zero, what is reserved included.
    func reset() {
        free = [space]
        elsewhere = 0
        writers = [:]
        leaving = []
        bytes.erase(0..<bytes.size)
    }

    /// Holds these ranges as handed out, and nothing else. What is in the memory stays.
    ///
    /// - Returns: false when some overlap, are none that could have been handed out, or are more than the limit;
    ///   nothing changes then.
    func hold(_ ranges: [Range<Int>]) -> Bool {
        var left: [Range<Int>] = []
        var end = space.lowerBound
        for range in ranges.sorted(by: { $0.lowerBound < $1.lowerBound }) {
            guard range.lowerBound >= end, range.upperBound <= space.upperBound, !range.isEmpty else { return false }
            guard range.lowerBound % Self.page == 0, range.count % Self.page == 0 else { return false }
            if range.lowerBound > end { left.append(end..<range.lowerBound) }
            end = range.upperBound
        }
        if end < space.upperBound { left.append(end..<space.upperBound) }
        guard space.count - left.reduce(0, { $0 + $1.count }) <= limit else { return false }
        free = left
        elsewhere = 0
        writers = [:]
        leaving = []
        return true
    }
}
