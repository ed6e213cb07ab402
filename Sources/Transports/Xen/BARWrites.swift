import CXen
import Linux

/// Which pages of memory behind a BAR the guest has written, as Xen notes it: XEN_DMOP_track_dirty_vram.
///
/// Xen does so for one range of a domain's frames at a time. When somebody else has asked about another one, it says
/// next that all pages were written.
final class BARWrites: WriteLog {
    private struct State {
        var parts: [SlotRecord.Part] = []
        var isAsked = false
        /// Frames have moved since, and Xen watches them no more.
        var isStale = false
        /// This process has written, which Xen doesn't see.
        var hasWritten = false
    }

    private let domain: Domain
    private let home: UInt64
    private let state = Locked(State())

    /// - Parameter home: the memory's first frame, as long as no BAR shows it.
    init(of domain: Domain, home: UInt64) {
        self.domain = domain
        self.home = home
    }

    /// Where frames are that aren't at home.
    var parts: [SlotRecord.Part] {
        get { state.withLock { $0.parts } }
        set {
            state.withLock { state in
                state.isStale = state.isStale || state.parts != newValue
                state.parts = newValue
            }
        }
    }

    func noteOwnWrite() { state.withLock { $0.hasWritten = true } }

    func takeWritten(_ range: Range<Int>) -> WrittenPages? {
        guard !range.isEmpty else { return nil }
        let isStale = state.withLock { state in
            defer { state.isStale = false }
            return state.isStale
        }
        if isStale { stop() }
        let page = Domain.frameSize
        let (first, last) = (range.lowerBound / page, (range.upperBound - 1) / page)
        let frames = (home + UInt64(first), UInt64(last - first + 1))
        let (now, hadWritten): (UInt64?, Bool) = state.withLock { state in
            defer { state.hasWritten = false }
            let part = state.parts.first { part in
                part.home <= frames.0 && frames.0 - part.home <= part.count
                    && frames.1 <= part.count - (frames.0 - part.home)
            }
            state.isAsked = state.isAsked || part != nil
            return (part.map { $0.now + (frames.0 - $0.home) }, state.hasWritten)
        }
        guard let now else { return nil }
        var bits = [UInt64](repeating: 0, count: (Int(frames.1) + 63) / 64)
        let size = bits.count * 8
        let result = cxen_track_writes(domain.privcmd.raw, domain.number, now, UInt32(frames.1), &bits, size)
        guard result >= 0, !hadWritten else { return nil }
        return WrittenPages(bits, firstPage: first, pageSize: page)
    }

    func stop() {
        let wasAsked = state.withLock { state in
            defer { state.isAsked = false }
            return state.isAsked
        }
        guard wasAsked else { return }
        var none: UInt64 = 0
        _ = cxen_track_writes(domain.privcmd.raw, domain.number, 0, 0, &none, 8)
    }
}
