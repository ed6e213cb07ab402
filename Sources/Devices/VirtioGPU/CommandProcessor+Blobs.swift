import Renderer
import Worker

/// Blobs in the host's memory: the driver makes one, places it in the window, attaches it to a context, and has that
/// context's Vulkan allocate from it.
extension CommandProcessor {
    /// RESOURCE_CREATE_BLOB in the host's memory.
    func createHostBlob(_ id: UInt32, _ request: HostBlob.Request) throws(Refusal) {
        guard let window, let objects else { throw .invalidParameter }
        guard objects.capabilitySet(of: request.context) == Rendering.venusSet else { throw .invalidContext }
        try resources.createHostBlob(id, request, in: window)
    }

    private func hostBlob(_ id: UInt32) throws(Refusal) -> HostBlob {
        guard window != nil else { throw .unspecified }
        guard let blob = try resources.resource(id).hostBlob else { throw .invalidResource }
        return blob
    }

    /// RESOURCE_MAP_BLOB. Only now it is known where the blob's memory is: so only now the renderer gets it.
    func map(_ id: UInt32, at offset: UInt64) throws(Refusal) -> Progress {
        var blob = try hostBlob(id)
        guard blob.isMappable else { throw .invalidParameter }
        guard blob.place == .nowhere else { throw blob.place == .lost ? .invalidResource : .unspecified }
        guard let window, let rendering else { throw .unspecified }
        let range = try window.take(blob.size, at: offset)
        let piece: MemoryPiece
        do throws(Refusal) {
            piece = try rendering.place(in: window.bytes, at: range.lowerBound, size: range.count)
        } catch {
            window.release(range)
            throw error
        }
        blob.place = .mapped(at: range.lowerBound)
        resources.update(id, blob)
        let kind: RendererCommand.BlobKind = blob.isSharedMemory ? .sharedMemory : .deviceMemory
        return .asked(
            [.importBlob(resource: id, kind: kind, piece: piece)]
                + blob.contexts.map { .attachResource(context: $0, resource: id) },
            .blobMapped(id, at: range.lowerBound))
    }

    /// The renderer doesn't take what was mapped.
    func takeBack(_ id: UInt32, at offset: Int) {
        guard var blob = resources[id]?.hostBlob, blob.place == .mapped(at: offset), let range = blob.range else {
            return
        }
        window?.release(range)
        blob.place = .nowhere
        resources.update(id, blob)
    }

    /// RESOURCE_UNMAP_BLOB. The content goes with the place: it lies nowhere else.
    func unmap(_ id: UInt32) throws(Refusal) -> Progress {
        var blob = try hostBlob(id)
        // Of what the last renderer had, drivers unmap it all the same.
        if blob.place == .lost { return .complete }
        guard let window, let range = blob.range else { throw .unspecified }
        let number = window.beginRelease(range, of: id)
        blob.place = .releasing(number)
        resources.update(id, blob)
        return .asked([.destroyResource(id: id)], .blobReleased(number))
    }

    /// RESOURCE_UNREF. A driver takes the blob's place for free when it is answered.
    func unref(_ blob: HostBlob, _ id: UInt32) -> Progress {
        forget(id)
        switch blob.place {
        case .nowhere, .lost: return .complete
        case .releasing(let number): return .releasing(number)
        case .mapped(let offset):
            guard let window else { return .complete }
            let number = window.beginRelease(offset..<offset + blob.size, of: id)
            return .asked([.destroyResource(id: id)], .blobReleased(number))
        }
    }

    /// A context may use a blob, or may not any more, whether it is mapped or not.
    func noteBlob(_ id: UInt32, in context: UInt32, isAttached: Bool) throws(Refusal) {
        try rendererObjects().requireContext(context)
        guard var blob = try resources.resource(id).hostBlob,
            try rendererObjects().capabilitySet(of: context) != nil
        else { return }
        blob.contexts.removeAll { $0 == context }
        if isAttached { blob.contexts.append(context) }
        resources.update(id, blob)
    }

    /// A context goes: another of its number has nothing of what it could use.
    func detachBlobs(from context: UInt32) {
        for id in resources.ids {
            guard var blob = resources[id]?.hostBlob, blob.contexts.contains(context) else { continue }
            blob.contexts.removeAll { $0 == context }
            resources.update(id, blob)
        }
    }
}
