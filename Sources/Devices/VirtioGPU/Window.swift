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
    private var releases: [UInt64: Release] = [:]
    private var count: UInt64 = 0
    /// The releases that the renderer has carried out, in order, and what is still to be made a hole of each.
    private var clearing: [(number: UInt64, left: Range<Int>)] = []
    private let loop: EventLoop
    private let turn: EventFD
    private var turnWatch: EventLoop.Token?
    private var hasReported = false

    /// Called when a piece is nobody's.
    var onRelease: (UInt64, Release) -> Void = { _, _ in }
    /// Takes a sentence for the administrator.
    var report: (String) -> Void = { _ in }

    /// A piece that is to be nobody's.
    struct Release {
        let range: Range<Int>
        /// The blob that was there; nil: one that never was.
        let resource: UInt32?
        /// What is answered then.
        var waiting: [Due] = []
    }

    static let sizes = 64 << 20...16 << 30
    static let page = 4096
    /// How much is made a hole of in a turn of the loop: that takes some 10 ms where all of it has pages.
    static let pieceSize = 64 << 20

    init(_ bytes: MappedBytes, loop: EventLoop) throws {
        self.bytes = bytes
        self.loop = loop
        turn = try EventFD()
        turnWatch = try loop.watch("window: release", turn.descriptor, for: .readable) { [unowned self] _ in
            turn.consume()
            goOn()
        }
    }

    deinit {
        if let turnWatch { loop.unwatch(turnWatch) }
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

    // MARK: Release

    /// The renderer is to let go of a piece: ``finishRelease(_:for:)`` follows.
    ///
    /// - Returns: the release's number.
    func beginRelease(_ range: Range<Int>, of resource: UInt32?) -> UInt64 {
        count += 1
        releases[count] = Release(range: range, resource: resource)
        return count
    }

    /// Has something wait until a piece is nobody's.
    ///
    /// - Returns: false when it was already.
    func wait(_ due: Due, for number: UInt64) -> Bool {
        releases[number]?.waiting.append(due) != nil
    }

    /// The renderer has let go of a piece, or has ended: ``onRelease`` follows, at once unless the piece is large.
    ///
    /// - Parameter due: waits for that, before all else.
    /// - Returns: false when it is nobody's already.
    func finishRelease(_ number: UInt64, for due: Due) -> Bool {
        guard releases[number] != nil else { return false }
        releases[number]?.waiting.insert(due, at: 0)
        clear(number)
        return true
    }

    /// Takes back a piece that no renderer has.
    func release(_ range: Range<Int>) {
        clear(beginRelease(range, of: nil))
    }

    private func clear(_ number: UInt64) {
        guard let range = releases[number]?.range else { return }
        clearing.append((number, range))
        if clearing.count == 1 { goOn() }
    }

    /// One turn's work. Others are served between two of them.
    private func goOn() {
        guard let (number, left) = clearing.first else { return }
        let piece = left.prefix(Self.pieceSize)
        var isCleared = true
        do throws(Errno) { try bytes.clear(piece) } catch {
            isCleared = false
            reportOnce(error)
        }
        clearing[0].left = piece.upperBound..<left.upperBound
        if !isCleared || clearing[0].left.isEmpty {
            clearing.removeFirst()
            finish(number, isCleared: isCleared)
        }
        if !clearing.isEmpty { turn.signal() }
    }

    /// A piece that can't be made a hole of, for want of the kernel's own memory, is not to be had until ``reset()``:
    /// whoever has its pages still would share them with the next owner.
    private func finish(_ number: UInt64, isCleared: Bool) {
        guard let release = releases.removeValue(forKey: number) else { return }
        if isCleared, let index = taken.firstIndex(of: release.range) { taken.remove(at: index) }
        onRelease(number, release)
    }

    private func reportOnce(_ error: Errno) {
        guard !hasReported else { return }
        hasReported = true
        report(
            "A part of the window can't be emptied (\(error)), and isn't used until the guest's driver begins anew.")
    }

    /// Takes everything back: no renderer has any of it.
    ///
    /// - Returns: what has waited for a piece.
    @discardableResult
    func reset() -> [Due] {
        let waiting = releases.sorted { $0.key < $1.key }.flatMap(\.value.waiting)
        releases = [:]
        clearing = []
        taken = []
        hasReported = false
        bytes.erase(0..<bytes.size)
        return waiting
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
