/// The order of fences. A driver takes a fence for done when a later one of its timeline is: so responses that carry
/// fences go out in the order of their commands, one timeline beside the other. `VIRTIO_GPU_FLAG_FENCE`
struct FenceTimelines {
    /// Each ring of a context has one, by `VIRTIO_GPU_FLAG_INFO_RING_IDX`; all else is one more.
    enum Timeline: Codable, Hashable {
        case device
        case ring(UInt8, context: UInt32)

        init(_ fence: Fence) {
            self = fence.ring.map { .ring($0, context: fence.context) } ?? .device
        }
    }

    /// A command's place in its timeline.
    struct Place: Codable, Equatable {
        fileprivate let timeline: Timeline
        /// No other place ever has the same.
        fileprivate let number: UInt64
    }

    private struct Entry {
        let number: UInt64
        var isDone = false
        /// nil: there is none to be given.
        var reply: Reply?
    }

    /// A timeline where nobody waits is not there: a guest names as many as it likes.
    private var waiting: [Timeline: [Entry]] = [:]
    private var count: UInt64 = 0

    mutating func enter(_ timeline: Timeline) -> Place {
        count += 1
        waiting[timeline, default: []].append(Entry(number: count))
        return Place(timeline: timeline, number: count)
    }

    /// What a place is for is done.
    ///
    /// - Parameter reply: what is given for it; nil: nothing.
    /// - Returns: the replies whose turn it is, this one among them or not: to be given in this order.
    mutating func finish(_ place: Place, with reply: Reply?) -> [Reply] {
        guard let index = waiting[place.timeline]?.firstIndex(where: { $0.number == place.number }) else { return [] }
        waiting[place.timeline]?[index].isDone = true
        waiting[place.timeline]?[index].reply = reply
        return index == 0 ? takeReady(of: place.timeline) : []
    }

    private mutating func takeReady(of timeline: Timeline) -> [Reply] {
        guard let entries = waiting[timeline] else { return [] }
        let ready = entries.prefix { $0.isDone }
        if ready.count == entries.count {
            waiting[timeline] = nil
        } else {
            waiting[timeline]?.removeFirst(ready.count)
        }
        return ready.compactMap(\.reply)
    }

    /// Forgets all: nobody waits any more. Places from before are nobody's.
    mutating func removeAll() {
        waiting = [:]
    }
}
