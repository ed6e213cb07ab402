import Linux

/// The memory that the guest's programs share with the host's drivers: the guest's driver says where in it each blob
/// lies. What is in nobody's hands is zero and takes no memory. `VIRTIO_GPU_SHM_ID_HOST_VISIBLE`
///
/// The renderer takes pieces of it for as long as it likes, by descriptors that pin their pages. So a piece that is
/// given back is a hole in the file before anybody else gets its place: whoever still has the old pages shares nothing
/// with the next owner.
final class Window {
    let bytes: MappedBytes
    /// All that is not to be had: sorted, none overlapping.
    private var taken: [Range<Int>] = []
    private var leaving: [UInt64: Leaving] = [:]
    private var count: UInt64 = 0

    /// A piece that the renderer was told to let go of and has not.
    private struct Leaving {
        let range: Range<Int>
        /// What is answered then, besides the command that has told it.
        var waiting: [Due] = []
    }

    static let sizes = 64 << 20...16 << 30
    static let page = 4096

    init(_ bytes: MappedBytes) {
        self.bytes = bytes
    }

    var isEmpty: Bool { taken.isEmpty }

    /// Takes a piece for a blob.
    ///
    /// - Throws: ``Refusal/invalidParameter`` when it doesn't begin with a page, isn't inside, or another is there.
    func take(_ size: Int, at offset: UInt64) throws(Refusal) -> Range<Int> {
        guard offset.isMultiple(of: UInt64(Self.page)), offset <= UInt64(bytes.size),
            size <= bytes.size - Int(offset)
        else { throw .invalidParameter }
        let range = Int(offset)..<Int(offset) + size
        let index = taken.firstIndex { $0.upperBound > range.lowerBound } ?? taken.count
        guard index == taken.count || taken[index].lowerBound >= range.upperBound else { throw .invalidParameter }
        taken.insert(range, at: index)
        return range
    }

    /// Takes back a piece that no renderer has. One that can't be made a hole of, for want of the kernel's own memory,
    /// is not to be had until ``reset()``.
    func release(_ range: Range<Int>) {
        guard let index = taken.firstIndex(of: range), (try? bytes.clear(range)) != nil else { return }
        taken.remove(at: index)
    }

    /// The renderer is to let go of a piece.
    ///
    /// - Returns: what ``finishLeaving(_:)`` calls it.
    func leave(_ range: Range<Int>) -> UInt64 {
        count += 1
        leaving[count] = Leaving(range: range)
        return count
    }

    /// Has something wait until a piece has been let go of.
    ///
    /// - Returns: false when it was already.
    func wait(_ due: Due, for number: UInt64) -> Bool {
        leaving[number]?.waiting.append(due) != nil
    }

    /// The renderer has let go of a piece, or has ended.
    ///
    /// - Returns: what waits for that.
    func finishLeaving(_ number: UInt64) -> [Due] {
        guard let piece = leaving.removeValue(forKey: number) else { return [] }
        release(piece.range)
        return piece.waiting
    }

    /// Takes everything back: no renderer has any of it.
    func reset() {
        leaving = [:]
        taken = []
        bytes.erase(0..<bytes.size)
    }
}

extension MappedBytes {
    /// Makes a range zero, and gives its pages back where that can be.
    func erase(_ range: Range<Int>) {
        do throws(Errno) {
            try clear(range)
        } catch {
            // The system has no memory for making a hole: the pages stay, but nothing on them.
            for extent in (try? dataExtents()) ?? [] {
                let part = extent.clamped(to: range)
                clear(at: part.lowerBound, count: part.count)
            }
        }
    }
}
