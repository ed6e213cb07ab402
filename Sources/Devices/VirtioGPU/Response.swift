import CLinux
import Device
import GuestMemory

/// What the device answers: a header, and what follows it. VIRTIO 1.2, section 5.7.6.7
struct Response: Equatable {
    static let headerSize = MemoryLayout<virtio_gpu_ctrl_hdr>.size

    /// What was done, as `VIRTIO_GPU_RESP_OK_…`, and the bytes that tell about it.
    struct Outcome {
        var type: virtio_gpu_ctrl_type
        var payload: [UInt8] = []

        static let done = Outcome(type: VIRTIO_GPU_RESP_OK_NODATA)
    }

    let bytes: [UInt8]
    /// Why the request's guest memory could not be reached, if that is what is answered.
    var missing: DMAError?

    /// - Parameter fence: what the request was sent with, when it was.
    init(_ result: Result<Outcome, Refusal>, _ fence: Fence?) {
        var header = virtio_gpu_ctrl_hdr()
        var payload: [UInt8] = []
        switch result {
        case .success(let outcome):
            header.type = outcome.type.rawValue
            payload = outcome.payload
        case .failure(let refusal):
            header.type = refusal.type.rawValue
            if case .unreachable(let error) = refusal { missing = error }
        }
        if let fence {
            header.flags = fence.ring == nil ? Self.fence : Self.fence | Self.ringIndex
            header.fence_id = fence.id
            header.ctx_id = fence.context
            header.ring_idx = fence.ring ?? 0
        }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(Self.headerSize + payload.count)
        bytes.append(header.type)
        bytes.append(header.flags)
        bytes.append(header.fence_id)
        bytes.append(header.ctx_id)
        bytes += [header.ring_idx, 0, 0, 0]
        self.bytes = bytes + payload
    }

    /// `VIRTIO_GPU_FLAG_FENCE`, `VIRTIO_GPU_FLAG_INFO_RING_IDX`
    static let fence: UInt32 = 1 << 0
    static let ringIndex: UInt32 = 1 << 1

    /// How many bytes a structure has behind its header.
    static func payloadSize<Wire>(_: Wire.Type) -> Int {
        MemoryLayout<Wire>.size - headerSize
    }
}

extension Response.Outcome {
    /// `struct virtio_gpu_resp_display_info`: where each head is and how large; heads that are not there are zeros.
    static func displayInfo(_ heads: [Head]) -> Response.Outcome {
        var payload: [UInt8] = []
        // Side by side, as far as nobody has arranged them otherwise.
        var x: UInt32 = 0
        for head in heads {
            let resolution = head.resolution
            let (width, height) = (UInt32(resolution.width), UInt32(resolution.height))
            for number in [x, 0, width, height, head.isPlugged ? 1 : 0, 0] as [UInt32] { payload.append(number) }
            if head.isPlugged { x += width }
        }
        payload.pad(to: Response.payloadSize(virtio_gpu_resp_display_info.self))
        return Response.Outcome(type: VIRTIO_GPU_RESP_OK_DISPLAY_INFO, payload: payload)
    }

    /// `struct virtio_gpu_resp_edid`
    static func edid(_ edid: [UInt8]) -> Response.Outcome {
        var payload: [UInt8] = []
        payload.append(UInt32(edid.count))
        payload.append(UInt32(0))
        payload += edid
        payload.pad(to: Response.payloadSize(virtio_gpu_resp_edid.self))
        return Response.Outcome(type: VIRTIO_GPU_RESP_OK_EDID, payload: payload)
    }

    /// `struct virtio_gpu_resp_capset_info`
    static func capabilitySetInfo(_ set: Rendering.CapabilitySet) -> Response.Outcome {
        var payload: [UInt8] = []
        for number in [set.id, set.version, UInt32(set.contents.count), 0] { payload.append(number) }
        return Response.Outcome(type: VIRTIO_GPU_RESP_OK_CAPSET_INFO, payload: payload)
    }

    /// `struct virtio_gpu_resp_capset`
    static func capabilitySet(_ set: Rendering.CapabilitySet) -> Response.Outcome {
        Response.Outcome(type: VIRTIO_GPU_RESP_OK_CAPSET, payload: set.contents)
    }

    /// `struct virtio_gpu_resp_map_info`: the guest may have it in its caches, as it is the host's ordinary memory.
    static var mapInfo: Response.Outcome {
        var payload: [UInt8] = []
        for number in [UInt32(VIRTIO_GPU_MAP_CACHE_CACHED), 0] { payload.append(number) }
        return Response.Outcome(type: VIRTIO_GPU_RESP_OK_MAP_INFO, payload: payload)
    }

    /// `struct virtio_gpu_resp_resource_uuid`
    static func uuid(_ uuid: [UInt8]) -> Response.Outcome {
        Response.Outcome(type: VIRTIO_GPU_RESP_OK_RESOURCE_UUID, payload: uuid)
    }
}

extension [UInt8] {
    /// Appends a number, lowest byte first.
    mutating func append<Number: FixedWidthInteger & UnsignedInteger>(_ number: Number) {
        for shift in stride(from: 0, to: Number.bitWidth, by: 8) { append(UInt8(truncatingIfNeeded: number >> shift)) }
    }

    fileprivate mutating func pad(to count: Int) {
        self += repeatElement(0, count: Swift.max(0, count - self.count))
    }
}
