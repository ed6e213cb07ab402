import CLinux

/// A request that the driver waits to have back: which one it is, and what its response carries of it.
struct Ticket: Codable, Equatable {
    /// The number by which ``CommandProcessor/onReply`` tells it from others.
    let request: UInt64
    /// Whether there is room for a response. On the cursor queue a command without one is carried out all the same.
    let takesResponse: Bool
    /// nil: it has none.
    let fence: Fence?
}

/// What a driver waits for by a response. `VIRTIO_GPU_FLAG_FENCE`
struct Fence: Codable, Equatable {
    let id: UInt64
    let context: UInt32
    /// Whose order it keeps, of the context's rings; nil: the device's. `VIRTIO_GPU_FLAG_INFO_RING_IDX`
    let ring: UInt8?

    /// - Returns: nil when the request has none.
    init?(_ request: virtio_gpu_ctrl_hdr) {
        guard request.flags & Response.fence != 0 else { return nil }
        id = request.fence_id
        context = request.ctx_id
        ring = request.flags & Response.ringIndex != 0 ? request.ring_idx : nil
    }
}

/// What is due when some work is done.
struct Due: Codable, Equatable {
    /// The request that is answered then; nil: it was answered before, and fences behind it wait all the same.
    let ticket: Ticket?
    /// Its place in the order of fences; nil: it waits for no other, and none for it.
    let place: FenceTimelines.Place?
}

/// What came of a request.
struct Reply {
    let ticket: Ticket
    let result: Result<Response.Outcome, Refusal>
}
