import CLinux
import Device
import Display
import GuestMemory
import Linux

/// Carries out commands: a request's bytes in, a response's bytes out. Of the world it knows the guest's memory and the heads, and
/// nothing of queues.
///
/// What it doesn't know it refuses with ``Refusal/unspecified``, as the commands of 3D.
final class CommandProcessor {
    /// The features that the driver has accepted, of ``VirtioGPU/Feature``.
    var features: VirtioGPU.Feature = []
    let heads: [Head]

    private let guest: MappedMemory
    private var memory: VideoMemory
    private var resources: [UInt32: Resource] = [:]

    /// - Parameter size: of the memory for pixels in bytes, whole pages.
    init(guest: MappedMemory, heads: Int, resolution: Resolution, size: Int) throws(Errno) {
        self.guest = guest
        let memory = try VideoMemory(reserved: heads * Head.cursorSize, size: size)
        self.memory = memory
        self.heads = (0..<heads).map { Head($0, resolution: resolution, memory: memory.file) }
    }

    /// The memory with all pixels, cursors included.
    var file: MemoryFile { memory.file }

    // MARK: Requests

    /// Carries a request out.
    ///
    /// - Parameter room: how many bytes of a response the driver takes.
    /// - Returns: nil when the driver takes none. On the cursor queue such a command is carried out all the same.
    func answer(_ request: RawSpan, from queue: Queue, room: Int) -> Response? {
        let isAnswered = room >= Response.headerSize
        guard isAnswered || queue == .cursor else { return nil }
        let header: virtio_gpu_ctrl_hdr
        do throws(Refusal) {
            header = try request.load(virtio_gpu_ctrl_hdr.self)
        } catch {
            return isAnswered ? Response(.failure(error), to: nil) : nil
        }
        let result = Result { () throws(Refusal) in
            let command = try Command(header.type, in: request, from: queue)
            let payload = command.payloadSize
            guard payload == 0 || room >= Response.headerSize + payload else { throw .unspecified }
            return try perform(command)
        }
        return isAnswered ? Response(result, to: header) : nil
    }

    private func perform(_ command: Command) throws(Refusal) -> Response.Outcome {
        switch command {
        case .getDisplayInfo: return .displayInfo(heads)
        case .getEDID(let head): return try edid(of: head)
        case .createImage(let id, let format, let width, let height):
            try createImage(id, format, width: width, height: height)
        case .createBlob(let id, let memory, let size, let backing):
            try createBlob(id, memory: memory, size: size, backing)
        case .unref(let id): try unref(id)
        case .assignUUID(let id): return try assignUUID(id)
        case .attachBacking(let id, let backing): try attach(backing, to: id)
        case .detachBacking(let id): try detachBacking(of: id)
        case .transfer(let id, let area, let offset): try transfer(area, at: offset, to: id)
        case .flush(let id, let area): try flush(area, of: id)
        case .setScanout(let head, let resource, let area): try setScanout(head, to: area, of: resource)
        case .setBlobScanout(let head, let resource, let area, let layout):
            try setScanout(head, to: area, ofBlob: resource, layout)
        // There are no capability sets: each index is beyond the last.
        case .getCapsetInfo, .getCapset: throw .invalidParameter
        case .updateCursor(let head, let resource, let x, let y, let hotX, let hotY):
            try updateCursor(
                of: head, from: resource, Head.Pointer(x: x, y: y, hotX: hotX, hotY: hotY, isShown: resource != 0))
        case .moveCursor(let head, let x, let y): try moveCursor(of: head, x, y)
        }
        return .done
    }

    private func head(_ number: UInt32) throws(Refusal) -> Head {
        guard number < heads.count else { throw .invalidScanout }
        return heads[Int(number)]
    }

    private func resource(_ id: UInt32) throws(Refusal) -> Resource {
        guard let resource = resources[id] else { throw .invalidResource }
        return resource
    }

    private func require(_ feature: VirtioGPU.Feature) throws(Refusal) {
        guard features.contains(feature) else { throw .unspecified }
    }

    private func edid(of number: UInt32) throws(Refusal) -> Response.Outcome {
        try require(.edid)
        let resolution = try head(number).resolution
        return .edid(EDID(width: resolution.width, height: resolution.height, refresh: 60).bytes)
    }

    // MARK: Resources

    private func requireNew(_ id: UInt32) throws(Refusal) {
        guard id != 0, resources[id] == nil else { throw .invalidResource }
        guard resources.count < Resource.maximumCount else { throw .outOfMemory }
    }

    private func createImage(_ id: UInt32, _ format: UInt32, width: UInt32, height: UInt32) throws(Refusal) {
        try requireNew(id)
        let edges = 1...UInt32(Resource.maximumEdge)
        guard let format = PixelFormat(virtio: format), edges.contains(width), edges.contains(height) else {
            throw .invalidParameter
        }
        let (width, height) = (Int(width), Int(height))
        guard let pixels = memory.allocate(width * height * Resource.bytesPerPixel) else { throw .outOfMemory }
        resources[id] = Resource(content: .image(format, width: width, height: height, pixels: pixels))
    }

    private func createBlob(_ id: UInt32, memory: UInt32, size: UInt64, _ backing: Backing) throws(Refusal) {
        try require(.resourceBlob)
        try requireNew(id)
        // Those in the host's memory are a renderer's.
        guard memory == VIRTIO_GPU_BLOB_MEM_GUEST, size > 0 else { throw .invalidParameter }
        try requireRoom(for: backing)
        resources[id] = Resource(content: .blob(size: size), backing: backing.size == 0 ? nil : backing)
    }

    private func unref(_ id: UInt32) throws(Refusal) {
        let resource = try resource(id)
        for head in heads where head.source?.resource == id { show(nil, nil, at: head) }
        resources[id] = nil
        if case .image(_, _, _, let pixels) = resource.content { memory.release(pixels) }
    }

    private func assignUUID(_ id: UInt32) throws(Refusal) -> Response.Outcome {
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
        do throws(Errno) { try RandomNumbers.fill(&bytes) } catch { throw .unspecified }
        uuid[6] = uuid[6] & 0x0f | 0x40
        uuid[8] = uuid[8] & 0x3f | 0x80
        return uuid
    }

    // MARK: Backing

    /// The most pieces that all backings together may have; what a saved state takes is bounded by it.
    static let maximumPieces = 1 << 17

    private func requireRoom(for backing: Backing) throws(Refusal) {
        let pieces = resources.values.reduce(0) { $0 + ($1.backing?.pieces.count ?? 0) }
        guard backing.pieces.count <= Self.maximumPieces - pieces else { throw .outOfMemory }
    }

    private func attach(_ backing: Backing, to id: UInt32) throws(Refusal) {
        guard try resource(id).backing == nil else { throw .unspecified }
        try requireRoom(for: backing)
        resources[id]?.backing = backing
    }

    private func detachBacking(of id: UInt32) throws(Refusal) {
        guard try resource(id).backing != nil else { throw .unspecified }
        resources[id]?.backing = nil
    }

    private func transfer(_ area: Rectangle, at offset: UInt64, to id: UInt32) throws(Refusal) {
        let resource = try resource(id)
        // A blob is its backing. Linux asks for the transfer nevertheless.
        guard case .image(_, let width, let height, let pixels) = resource.content else { return }
        guard area.fits(width: width, height: height) else { throw .invalidParameter }
        guard let backing = resource.backing else { throw .unspecified }
        let stride = width * Resource.bytesPerPixel
        let place = pixels.lowerBound + area.y * stride + area.x * Resource.bytesPerPixel
        try copy(
            from: backing, at: offset, stride: UInt64(stride), width: area.width, height: area.height, to: place,
            stride: stride)
    }

    /// Copies lines of pixels from guest memory; all that follow each other on both sides in one piece.
    ///
    /// - Throws: before anything is copied when the backing doesn't have them all.
    private func copy(
        from backing: Backing, at offset: UInt64, stride sourceStride: UInt64, width: Int, height: Int, to place: Int,
        stride: Int
    ) throws(Refusal) {
        let line = width * Resource.bytesPerPixel
        guard line > 0, height > 0 else { return }
        guard backing.contains(offset, count: UInt64(height - 1) * sourceStride + UInt64(line)) else {
            throw .invalidParameter
        }
        if line == stride, UInt64(line) == sourceStride {
            return try backing.copy(at: offset, count: line * height, from: guest, to: file, at: place)
        }
        for y in 0..<height {
            try backing.copy(
                at: offset + UInt64(y) * sourceStride, count: line, from: guest, to: file, at: place + y * stride)
        }
    }

    // MARK: Heads

    private func setScanout(_ number: UInt32, to area: Rectangle, of id: UInt32) throws(Refusal) {
        let head = try head(number)
        guard id != 0 else { return show(nil, nil, at: head) }
        guard case .image(let format, let width, let height, let pixels) = try resource(id).content else {
            throw .invalidResource
        }
        guard area.width > 0, area.height > 0, area.fits(width: width, height: height) else { throw .invalidParameter }
        let scanout = picture(of: area, width: width, format: format, pixels)
        show(Head.Source(resource: id, area: area), scanout, at: head)
    }

    private func setScanout(
        _ number: UInt32, to area: Rectangle, ofBlob id: UInt32, _ layout: Command.BlobLayout
    ) throws(Refusal) {
        try require(.resourceBlob)
        let head = try head(number)
        guard id != 0 else { return show(nil, nil, at: head) }
        guard case .blob(let size) = try resource(id).content else { throw .invalidResource }
        let (width, height) = (Int(layout.width), Int(layout.height))
        guard let format = PixelFormat(virtio: layout.format), area.width > 0, area.height > 0,
            width <= Resource.maximumEdge, height <= Resource.maximumEdge, area.fits(width: width, height: height)
        else { throw .invalidParameter }
        let stride = UInt64(layout.stride)
        let line = UInt64(width * Resource.bytesPerPixel)
        let end = UInt64(layout.offset) + UInt64(height - 1) * stride + line
        guard stride >= line, end <= size else { throw .invalidParameter }
        var blob = Head.Blob(format: format, offset: UInt64(layout.offset), stride: stride, pixels: 0..<0)
        // A flip between two blobs needs no other memory.
        if let now = head.source, let shown = now.blob, now.area.width == area.width, now.area.height == area.height {
            blob.pixels = shown.pixels
        } else {
            guard let pixels = memory.allocate(area.width * area.height * Resource.bytesPerPixel) else {
                throw .outOfMemory
            }
            blob.pixels = pixels
        }
        let scanout = picture(of: area, blob)
        show(Head.Source(resource: id, area: area, blob: blob), scanout, at: head)
    }

    /// Changes what a head shows, and frees the copy of a blob that it has shown before.
    private func show(_ source: Head.Source?, _ picture: Scanout?, at head: Head) {
        if let before = head.source?.blob?.pixels, before != source?.blob?.pixels { memory.release(before) }
        head.show(source, picture)
    }

    private func picture(of area: Rectangle, width: Int, format: PixelFormat, _ pixels: Range<Int>) -> Scanout {
        let stride = width * Resource.bytesPerPixel
        return Scanout(
            width: area.width, height: area.height, stride: stride, format: format, memory: file,
            offset: pixels.lowerBound + area.y * stride + area.x * Resource.bytesPerPixel)
    }

    private func picture(of area: Rectangle, _ blob: Head.Blob) -> Scanout {
        Scanout(
            width: area.width, height: area.height, stride: area.width * Resource.bytesPerPixel, format: blob.format,
            memory: file, offset: blob.pixels.lowerBound)
    }

    private func flush(_ area: Rectangle, of id: UInt32) throws(Refusal) {
        let resource = try resource(id)
        if case .image(_, let width, let height, _) = resource.content, !area.fits(width: width, height: height) {
            throw .invalidParameter
        }
        for head in heads {
            guard let source = head.source, source.resource == id, let part = head.flush(area) else { continue }
            if let blob = source.blob { try copy(part, of: source, blob, resource.backing) }
        }
    }

    /// Brings a part of the head's copy of a blob up to date.
    private func copy(
        _ part: Rectangle, of source: Head.Source, _ blob: Head.Blob, _ backing: Backing?
    ) throws(Refusal) {
        guard let backing else { throw .unspecified }
        let (x, y) = (UInt64(source.area.x + part.x), UInt64(source.area.y + part.y))
        let stride = source.area.width * Resource.bytesPerPixel
        try copy(
            from: backing, at: blob.offset + y * blob.stride + x * UInt64(Resource.bytesPerPixel), stride: blob.stride,
            width: part.width, height: part.height,
            to: blob.pixels.lowerBound + part.y * stride + part.x * Resource.bytesPerPixel, stride: stride)
    }

    // MARK: Cursors

    private func updateCursor(
        of number: UInt32, from id: UInt32, _ pointer: Head.Pointer
    ) throws(Refusal) {
        let head = try head(number)
        if id != 0 { try copyCursor(from: resource(id), to: head.cursorPlace) }
        head.pointer = pointer
    }

    private func moveCursor(of number: UInt32, _ x: Int32, _ y: Int32) throws(Refusal) {
        let head = try head(number)
        head.pointer?.x = x
        head.pointer?.y = y
    }

    /// Copies the image, so that the resource may go or change while the cursor stays.
    private func copyCursor(from resource: Resource, to place: Int) throws(Refusal) {
        let edge = Head.cursorEdge
        switch resource.content {
        case .image(let format, let width, let height, let pixels):
            guard width == edge, height == edge else { throw .invalidParameter }
            file.replace(at: place, with: file, at: pixels.lowerBound, count: Head.cursorSize)
            if format != .argb8888 { convertCursor(at: place, from: format) }
        case .blob(let size):
            guard let backing = resource.backing else { throw .unspecified }
            guard size >= Head.cursorSize else { throw .invalidParameter }
            try backing.copy(at: 0, count: Head.cursorSize, from: guest, to: file, at: place)
        }
    }

    private func convertCursor(at place: Int, from format: PixelFormat) {
        let channels = format.channels
        var image = [UInt8](repeating: 0, count: Head.cursorSize)
        var span = image.mutableSpan
        var bytes = span.mutableBytes
        file.copy(at: place, count: Head.cursorSize, into: &bytes)
        for pixel in stride(from: 0, to: Head.cursorSize, by: Resource.bytesPerPixel) {
            let old = Array(image[pixel..<pixel + Resource.bytesPerPixel])
            image[pixel] = old[channels.blue]
            image[pixel + 1] = old[channels.green]
            image[pixel + 2] = old[channels.red]
            image[pixel + 3] = channels.alpha.map { old[$0] } ?? 0xff
        }
        file.replace(at: place, with: image.span.bytes)
    }

    // MARK: Reset and state

    /// Forgets every resource, and what heads show. Monitors stay.
    func reset() {
        resources = [:]
        for head in heads {
            head.show(nil, nil)
            head.pointer = nil
        }
        memory.reset()
    }

    struct State: Codable, Equatable, Sendable {
        var resources: [SavedResource]
        var heads: [Head.State]
    }

    struct SavedResource: Codable, Equatable, Sendable {
        var id: UInt32
        var resource: Resource
    }

    var state: State {
        let saved = resources.sorted { $0.key < $1.key }.map { SavedResource(id: $0.key, resource: $0.value) }
        return State(resources: saved, heads: heads.map(\.state))
    }

    /// - Throws: `StateError`; nothing has changed then.
    func restore(_ state: State) throws(StateError) {
        let restored = try Self.resources(of: state)
        guard state.heads.count == heads.count else {
            throw StateError("The state has \(state.heads.count) heads; this device has \(heads.count).")
        }
        var pictures: [(resolution: Resolution, picture: Scanout?)] = []
        for head in state.heads {
            guard let resolution = Resolution(width: head.width, height: head.height) else {
                throw StateError("A head's monitor has \(head.width) by \(head.height) pixels, which none has.")
            }
            pictures.append(
                (
                    resolution,
                    try head.source.map { source throws(StateError) in
                        try picture(of: source, in: restored)
                    }
                ))
        }
        guard memory.hold(Self.ranges(of: restored, state.heads)) else {
            throw StateError("Pictures of the state overlap, or lie outside the device's memory.")
        }
        resources = restored
        for (index, head) in heads.enumerated() {
            head.restore(
                state.heads[index], resolution: pictures[index].resolution, picture: pictures[index].picture)
        }
    }

    private static func resources(of state: State) throws(StateError) -> [UInt32: Resource] {
        var resources: [UInt32: Resource] = [:]
        for saved in state.resources {
            guard saved.id != 0, resources.updateValue(saved.resource, forKey: saved.id) == nil else {
                throw StateError("Resource \(saved.id) is there twice, or is none.")
            }
            try saved.resource.validate(saved.id)
        }
        let pieces = resources.values.reduce(0) { $0 + ($1.backing?.pieces.count ?? 0) }
        guard resources.count <= Resource.maximumCount, pieces <= maximumPieces else {
            throw StateError(
                "The state has \(resources.count) resources, with \(pieces) pieces: more than there may be.")
        }
        return resources
    }

    private static func ranges(of resources: [UInt32: Resource], _ heads: [Head.State]) -> [Range<Int>] {
        let images = resources.values.compactMap { resource -> Range<Int>? in
            guard case .image(_, _, _, let pixels) = resource.content else { return nil }
            return pixels
        }
        return images + heads.compactMap { $0.source?.blob?.pixels }
    }

    private func picture(of source: Head.Source, in resources: [UInt32: Resource]) throws(StateError) -> Scanout {
        let problem = StateError("A head shows what resource \(source.resource) doesn't have.")
        let area = source.area
        guard area.x >= 0, area.y >= 0, area.width > 0, area.height > 0 else { throw problem }
        switch (resources[source.resource]?.content, source.blob) {
        case (.image(let format, let width, let height, let pixels), nil):
            guard area.fits(width: width, height: height) else { throw problem }
            return picture(of: area, width: width, format: format, pixels)
        case (.blob(let size), let blob?):
            let edge = Resource.maximumEdge
            guard area.fits(width: edge, height: edge), blob.format.isVirtio, blob.stride <= UInt32.max,
                blob.offset <= UInt32.max, blob.pixels.lowerBound >= 0,
                blob.pixels.count >= area.width * area.height * Resource.bytesPerPixel,
                UInt64((area.x + area.width) * Resource.bytesPerPixel) <= blob.stride
            else { throw problem }
            let lines = UInt64(area.y + area.height - 1)
            let end = blob.offset + lines * blob.stride + UInt64((area.x + area.width) * Resource.bytesPerPixel)
            guard end <= size else { throw problem }
            return picture(of: area, blob)
        default: throw problem
        }
    }
}

extension Resource {
    fileprivate func validate(_ id: UInt32) throws(StateError) {
        if case .image(let format, let width, let height, let pixels) = content {
            let edges = 1...Self.maximumEdge
            guard format.isVirtio, edges.contains(width), edges.contains(height),
                pixels.lowerBound >= 0, pixels.count >= width * height * Self.bytesPerPixel
            else { throw StateError("Resource \(id) is a picture of \(width) by \(height) pixels that can't be.") }
        }
        guard uuid == nil || uuid?.count == 16 else { throw StateError("Resource \(id) has a UUID of another length.") }
    }
}
