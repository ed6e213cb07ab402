import Device
import Display

extension CommandProcessor {
    /// Forgets every resource, and what heads show. Monitors stay.
    func reset() {
        forgetPostponed()
        rendering?.reset()
        forgetFences()
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
            throw StateError("Pictures of the state overlap, or don't fit into \(memory.limit) bytes of memory.")
        }
        forgetPostponed()
        rendering?.reset()
        forgetFences()
        resources = restored
        for (index, head) in heads.enumerated() {
            head.restore(
                state.heads[index], resolution: pictures[index].resolution, picture: pictures[index].picture)
        }
    }

    private static func resources(of state: State) throws(StateError) -> [UInt32: Resource] {
        var resources: [UInt32: Resource] = [:]
        for saved in state.resources {
            var resource = saved.resource
            if var host = resource.host {
                // What a renderer has can't be saved.
                host.size = 0
                host.isLost = true
                resource.content = .host(host)
            }
            guard saved.id != 0, resources.updateValue(resource, forKey: saved.id) == nil else {
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
        case (.host(let host), let blob?):
            guard area.fits(width: host.width, height: host.height), blob.format == host.format,
                blob.pixels.lowerBound >= 0,
                blob.pixels.count >= area.width * area.height * Resource.bytesPerPixel
            else { throw problem }
            return picture(of: area, blob)
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
        if case .host(let host) = content {
            let edges = 0...Self.maximumEdge
            guard edges.contains(host.width), edges.contains(host.height), host.format?.isVirtio != false else {
                throw StateError(
                    "Resource \(id) is a picture of \(host.width) by \(host.height) pixels that can't be.")
            }
        }
        guard uuid == nil || uuid?.count == 16 else { throw StateError("Resource \(id) has a UUID of another length.") }
    }
}
