import CLinux
import Device
import Linux
import Renderer

extension CommandProcessor {
    // MARK: Making and forgetting

    func requireNew(_ id: UInt32) throws(Refusal) {
        guard id != 0, resources[id] == nil else { throw .invalidResource }
        guard resources.count < Resource.maximumCount else { throw .outOfMemory }
    }

    func createImage(_ id: UInt32, _ format: UInt32, width: UInt32, height: UInt32) throws(Refusal) {
        try requireNew(id)
        let edges = 1...UInt32(Resource.maximumEdge)
        guard let format = PixelFormat(virtio: format), edges.contains(width), edges.contains(height) else {
            throw .invalidParameter
        }
        let (width, height) = (Int(width), Int(height))
        guard let pixels = memory.allocate(width * height * Resource.bytesPerPixel) else { throw .outOfMemory }
        resources[id] = Resource(content: .image(format, width: width, height: height, pixels: pixels))
    }

    func createBlob(_ id: UInt32, memory: UInt32, size: UInt64, _ backing: Backing) throws(Refusal) {
        try require(.resourceBlob)
        try requireNew(id)
        // Those in the host's memory are a renderer's.
        guard memory == VIRTIO_GPU_BLOB_MEM_GUEST, size > 0 else { throw .invalidParameter }
        try requireRoom(for: backing)
        resources[id] = Resource(content: .blob(size: size), backing: backing.size == 0 ? nil : backing)
    }

    func unref(_ id: UInt32) throws(Refusal) -> Progress {
        let resource = try resource(id)
        forget(id)
        guard let host = resource.host, !host.isLost else { return .complete }
        return .sent([.destroyResource(id: id)]) { _ in }
    }

    /// Forgets a resource, and gives back what it takes here.
    func forget(_ id: UInt32) {
        for head in heads where head.source?.resource == id { show(nil, nil, at: head) }
        rendering?.backings[id] = nil
        switch resources.removeValue(forKey: id)?.content {
        case .image(_, _, _, let pixels): memory.release(pixels)
        case .host(let host): memory.giveBack(host.size)
        case .blob, nil: break
        }
    }

    func assignUUID(_ id: UInt32) throws(Refusal) -> Response.Outcome {
        try require(.resourceUUID)
        if let uuid = try resource(id).uuid { return .uuid(uuid) }
        let uuid = try randomUUID()
        resources[id]?.uuid = uuid
        return .uuid(uuid)
    }

    /// Version 4, variant 1. RFC 9562, section 5.4
    private func randomUUID() throws(Refusal) -> [UInt8] {
        var uuid = [UInt8](repeating: 0, count: 16)
        var span = uuid.mutableSpan
        var bytes = span.mutableBytes
        do throws(Errno) { try host.fillWithRandomNumbers(&bytes) } catch { throw .unspecified }
        uuid[6] = uuid[6] & 0x0f | 0x40
        uuid[8] = uuid[8] & 0x3f | 0x80
        return uuid
    }

    // MARK: Backing

    /// The most pieces that all backings together may have; what a saved state takes is bounded by it.
    static let maximumPieces = 1 << 17

    func requireRoom(for backing: Backing) throws(Refusal) {
        let pieces = resources.values.reduce(0) { $0 + ($1.backing?.pieces.count ?? 0) }
        guard backing.pieces.count <= Self.maximumPieces - pieces else { throw .outOfMemory }
    }

    func attach(_ backing: Backing, to id: UInt32) throws(Refusal) -> Progress {
        let resource = try resource(id)
        guard resource.backing == nil else { throw .unspecified }
        try requireRoom(for: backing)
        guard let rendering, let host = resource.host, !host.isLost else {
            resources[id]?.backing = backing
            return .complete
        }
        let command = try attach(backing, to: id, of: rendering)
        resources[id]?.backing = backing
        return .sent([command]) { _ in }
    }

    func detachBacking(of id: UInt32) throws(Refusal) -> Progress {
        let resource = try resource(id)
        guard resource.backing != nil else { throw .unspecified }
        resources[id]?.backing = nil
        rendering?.backings[id] = nil
        guard let host = resource.host, !host.isLost else { return .complete }
        return .sent([.detachBacking(resource: id)]) { _ in }
    }

    func transfer(_ area: Rectangle, at offset: UInt64, to id: UInt32) throws(Refusal) -> Progress {
        let resource = try resource(id)
        if let host = resource.host { return try transfer(area, at: offset, to: id, host) }
        // A blob is its backing. Linux asks for the transfer nevertheless.
        guard case .image(_, let width, let height, let pixels) = resource.content else { return .complete }
        guard area.fits(width: width, height: height) else { throw .invalidParameter }
        guard let backing = resource.backing else { throw .unspecified }
        let stride = width * Resource.bytesPerPixel
        let place = pixels.lowerBound + area.y * stride + area.x * Resource.bytesPerPixel
        try copy(
            from: backing, at: offset, stride: UInt64(stride), width: area.width, height: area.height, to: place,
            stride: stride)
        return .complete
    }

    /// Copies lines of pixels from guest memory; all that follow each other on both sides in one piece.
    ///
    /// - Throws: before anything is copied when the backing doesn't have them all.
    func copy(
        from backing: Backing, at offset: UInt64, stride sourceStride: UInt64, width: Int, height: Int, to place: Int,
        stride: Int
    ) throws(Refusal) {
        let line = width * Resource.bytesPerPixel
        guard line > 0, height > 0 else { return }
        guard backing.contains(offset, count: UInt64(height - 1) * sourceStride + UInt64(line)) else {
            throw .invalidParameter
        }
        if line == stride, UInt64(line) == sourceStride {
            return try backing.copy(at: offset, count: line * height, from: host.memory, to: memory.bytes, at: place)
        }
        for y in 0..<height {
            try backing.copy(
                at: offset + UInt64(y) * sourceStride, count: line, from: host.memory, to: memory.bytes,
                at: place + y * stride)
        }
    }
}
