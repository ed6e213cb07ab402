import CLinux
import Device
import Linux
import Renderer

/// The resources that there are, and what they take of the video memory.
struct ResourceTable {
    /// The most pieces that all backings together may have; what a saved state takes is bounded by it.
    static let maximumPieces = 1 << 17

    private let memory: VideoMemory
    private var resources: [UInt32: Resource] = [:]
    /// Those of all backings.
    private var pieceCount = 0
    private var serial: UInt64 = 0

    init(in memory: VideoMemory) {
        self.memory = memory
    }

    /// The numbers of all, in ascending order.
    var ids: [UInt32] { resources.keys.sorted() }

    /// nil: there is none of that number.
    subscript(id: UInt32) -> Resource? { resources[id] }

    /// - Throws: ``Refusal/invalidResource`` when there is none of that number.
    func resource(_ id: UInt32) throws(Refusal) -> Resource {
        guard let resource = resources[id] else { throw .invalidResource }
        return resource
    }

    // MARK: Making and forgetting

    private func requireNew(_ id: UInt32) throws(Refusal) {
        guard id != 0, resources[id] == nil else { throw .invalidResource }
        guard resources.count < Resource.maximumCount else { throw .outOfMemory }
    }

    /// RESOURCE_CREATE_2D
    mutating func createImage(_ id: UInt32, _ format: UInt32, width: UInt32, height: UInt32) throws(Refusal) {
        try requireNew(id)
        let edges = 1...UInt32(Resource.maximumEdge)
        guard let format = PixelFormat(virtio: format), edges.contains(width), edges.contains(height) else {
            throw .invalidParameter
        }
        let (width, height) = (Int(width), Int(height))
        guard let pixels = memory.allocate(width * height * Resource.bytesPerPixel) else { throw .outOfMemory }
        resources[id] = Resource(content: .image(format, width: width, height: height, pixels: pixels))
    }

    /// RESOURCE_CREATE_BLOB in the host's memory.
    mutating func createHostBlob(_ id: UInt32, _ request: HostBlob.Request, in window: Window) throws(Refusal) {
        try requireNew(id)
        resources[id] = Resource(content: .hostBlob(try HostBlob(request, in: window)))
    }

    /// A blob in the host's memory has changed.
    mutating func update(_ id: UInt32, _ blob: HostBlob) {
        resources[id]?.content = .hostBlob(blob)
    }

    /// RESOURCE_CREATE_BLOB in the guest's memory.
    mutating func createBlob(_ id: UInt32, memory: UInt32, size: UInt64, _ backing: Backing) throws(Refusal) {
        try requireNew(id)
        guard memory == VIRTIO_GPU_BLOB_MEM_GUEST, size > 0 else { throw .invalidParameter }
        try requireRoom(for: backing)
        pieceCount += backing.pieces.count
        resources[id] = Resource(content: .blob(size: size), backing: backing.size == 0 ? nil : backing)
    }

    /// RESOURCE_CREATE_3D
    ///
    /// - Returns: what tells it from others of the same number: ``HostResource/serial``.
    mutating func createHostResource(_ parameters: RendererCommand.ResourceParameters) throws(Refusal) -> UInt64 {
        try requireNew(parameters.id)
        serial &+= 1
        let host = try HostResource(parameters, serial: serial)
        guard memory.reserve(host.size) else { throw .outOfMemory }
        resources[parameters.id] = Resource(content: .host(host))
        return serial
    }

    /// Forgets a resource, and gives back what it takes.
    mutating func remove(_ id: UInt32) {
        guard let resource = resources.removeValue(forKey: id) else { return }
        pieceCount -= resource.backing?.pieces.count ?? 0
        switch resource.content {
        case .image(_, _, _, let pixels): memory.release(pixels)
        case .host(let host): memory.giveBack(host.size)
        case .blob, .hostBlob: break
        }
    }

    /// The renderer has ended, and with it all that it had.
    mutating func loseHostResources() {
        for (id, resource) in resources {
            if var blob = resource.hostBlob {
                blob.lose()
                resources[id]?.content = .hostBlob(blob)
            }
            guard var host = resource.host, !host.isLost else { continue }
            memory.giveBack(host.size)
            host.lose()
            resources[id]?.content = .host(host)
        }
    }

    // MARK: What they have

    private func requireRoom(for backing: Backing) throws(Refusal) {
        guard backing.pieces.count <= Self.maximumPieces - pieceCount else { throw .outOfMemory }
    }

    /// A resource that may get a backing.
    ///
    /// - Throws: ``Refusal/unspecified`` when it has one, ``Refusal/outOfMemory`` when there are too many pieces.
    func resource(_ id: UInt32, toGet backing: Backing) throws(Refusal) -> Resource {
        let resource = try resource(id)
        guard resource.backing == nil else { throw .unspecified }
        try requireRoom(for: backing)
        return resource
    }

    /// RESOURCE_ATTACH_BACKING
    mutating func attach(_ backing: Backing, to id: UInt32) throws(Refusal) {
        _ = try resource(id, toGet: backing)
        pieceCount += backing.pieces.count
        resources[id]?.backing = backing
    }

    /// RESOURCE_DETACH_BACKING
    mutating func detachBacking(of id: UInt32) throws(Refusal) {
        guard let backing = try resource(id).backing else { throw .unspecified }
        pieceCount -= backing.pieces.count
        resources[id]?.backing = nil
    }

    /// RESOURCE_ASSIGN_UUID, for a resource that has none yet.
    mutating func assign(_ uuid: [UInt8], to id: UInt32) {
        resources[id]?.uuid = uuid
    }

    // MARK: State

    struct Saved: Codable, Equatable, Sendable {
        var id: UInt32
        var resource: Resource
    }

    /// In the order of their numbers.
    var state: [Saved] { ids.compactMap { id in resources[id].map { Saved(id: id, resource: $0) } } }

    /// Those of a state, whose pictures must still be held in the memory. What a renderer had is lost.
    ///
    /// - Throws: `StateError` when they can't be.
    init(_ state: [Saved], in memory: VideoMemory) throws(StateError) {
        self.memory = memory
        for saved in state {
            var resource = saved.resource
            if var host = resource.host {
                host.lose()
                resource.content = .host(host)
            }
            if var blob = resource.hostBlob {
                blob.lose()
                resource.content = .hostBlob(blob)
            }
            guard saved.id != 0, resources.updateValue(resource, forKey: saved.id) == nil else {
                throw StateError("Resource \(saved.id) is there twice, or is none.")
            }
            try saved.resource.validate(saved.id)
            pieceCount += resource.backing?.pieces.count ?? 0
        }
        guard resources.count <= Resource.maximumCount, pieceCount <= Self.maximumPieces else {
            throw StateError(
                "The state has \(resources.count) resources, with \(pieceCount) pieces: more than there may be.")
        }
    }

    /// Where the pictures are in the video memory.
    var ranges: [Range<Int>] {
        resources.values.compactMap { resource in
            guard case .image(_, _, _, let pixels) = resource.content else { return nil }
            return pixels
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
        if let host {
            let edges = 0...Self.maximumEdge
            guard edges.contains(host.width), edges.contains(host.height), host.format?.isVirtio != false else {
                throw StateError(
                    "Resource \(id) is a picture of \(host.width) by \(host.height) pixels that can't be.")
            }
        }
        if let hostBlob {
            guard Window.sizes.upperBound >= hostBlob.size, hostBlob.size > 0 else {
                throw StateError("Resource \(id) is a blob of \(hostBlob.size) bytes that can't be.")
            }
        }
        guard uuid == nil || uuid?.count == 16 else { throw StateError("Resource \(id) has a UUID of another length.") }
    }
}
