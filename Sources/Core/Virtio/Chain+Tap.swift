import GuestMemory
import Tap

/// What a device takes from a queue and gives back, in sight of the tap: the bytes as they lie in guest memory just
/// then. What the device really takes is seen by its accesses.
extension Chain {
    func showRequest(to tap: any Tap) {
        show(.request(queue: queue), segments[..<readableSegments], upTo: readable, to: tap)
    }

    func showCompletion(to tap: any Tap) {
        show(.completion(queue: queue), segments[readableSegments...], upTo: written, to: tap)
    }

    private func show(_ passage: Passage, _ segments: ArraySlice<Segment>, upTo count: Int, to tap: any Tap) {
        let wanted = min(count, tap.seesAll ? Passage.virtqueueBytes : Event.bytesKept)
        withUnsafeTemporaryAllocation(byteCount: wanted, alignment: 8) { buffer in
            // SAFETY: the buffer lives as long as this closure. Of its bytes only those are shown that were copied.
            var span = MutableRawSpan(_unsafeBytes: buffer)
            var done = 0
            for segment in segments where done < wanted {
                let length = min(Int(segment.length), wanted - done)
                var part = span._mutatingExtracting(done..<done + length)
                let copied = memory.peek(at: segment.address, into: &part)
                done += copied
                if copied < length { break }
            }
            tap.note(passage, span.bytes.extracting(0..<done))
        }
    }
}
