import CLinux

/// The order of fences. A driver takes a fence for done when a later one of its timeline is: so responses that carry fences go
/// out in the order of their commands, one timeline beside the other. `VIRTIO_GPU_FLAG_FENCE`
struct FenceTimelines {
    /// Each ring of a context has one, by `VIRTIO_GPU_FLAG_INFO_RING_IDX`; all else is one more.
    enum Timeline: Hashable {
        case device
        case ring(UInt8, context: UInt32)

        /// - Returns: nil when the request has no fence.
        init?(_ header: virtio_gpu_ctrl_hdr) {
            guard header.flags & Response.fence != 0 else { return nil }
            self =
                header.flags & Response.ringIndex != 0
                ? .ring(header.ring_idx, context: header.ctx_id) : .device
        }
    }

    /// A command's place in its timeline.
    final class Place {
        fileprivate let timeline: Timeline
        fileprivate var send: (() -> Void)?

        fileprivate init(_ timeline: Timeline) {
            self.timeline = timeline
        }
    }

    private var waiting: [Timeline: [Place]] = [:]

    mutating func enter(_ timeline: Timeline) -> Place {
        let place = Place(timeline)
        waiting[timeline, default: []].append(place)
        return place
    }

    /// What a place is for is done.
    ///
    /// - Parameter send: gives the response back.
    /// - Returns: the responses whose turn it is, this one among them or not: to be sent in this order.
    mutating func finish(_ place: Place, send: @escaping () -> Void) -> [() -> Void] {
        place.send = send
        guard let places = waiting[place.timeline] else { return [] }
        let ready = places.prefix { $0.send != nil }
        waiting[place.timeline] = ready.count == places.count ? nil : Array(places.dropFirst(ready.count))
        return ready.compactMap(\.send)
    }

    /// Forgets all: nobody waits any more.
    mutating func removeAll() {
        waiting = [:]
    }
}
