import Device
import Display

extension Heads {
    var state: [Head.State] { all.map(\.state) }

    /// What heads of a state show, and of what size their monitors are: found to be possible.
    struct Restored {
        fileprivate let heads: [(state: Head.State, resolution: Resolution, picture: Scanout?)]

        /// Where the heads' copies are in the video memory.
        var ranges: [Range<Int>] { heads.compactMap { $0.state.source?.blob?.pixels } }
    }

    /// - Parameter resources: those of the same state.
    /// - Throws: `StateError` when these heads can't show that.
    func check(_ states: [Head.State], showing resources: ResourceTable) throws(StateError) -> Restored {
        guard states.count == all.count else {
            throw StateError("The state has \(states.count) heads; this device has \(all.count).")
        }
        var heads: [(state: Head.State, resolution: Resolution, picture: Scanout?)] = []
        for state in states {
            guard let resolution = Resolution(width: state.width, height: state.height) else {
                throw StateError("A head's monitor has \(state.width) by \(state.height) pixels, which none has.")
            }
            var scanout: Scanout?
            if let source = state.source { scanout = try picture(of: source, in: resources) }
            heads.append((state, resolution, scanout))
        }
        return Restored(heads: heads)
    }

    /// Shows what a state has. The video memory holds it.
    func restore(_ restored: Restored) {
        for (head, saved) in zip(all, restored.heads) {
            head.restore(saved.state, resolution: saved.resolution, picture: saved.picture)
        }
    }

    /// Heads show nothing any more, and have no cursors. Monitors stay. Their copies are the video memory's to take
    /// back.
    func reset() {
        for head in all { head.reset() }
    }

    private func picture(of source: Head.Source, in resources: ResourceTable) throws(StateError) -> Scanout {
        let problem = StateError("A head shows what resource \(source.resource) doesn't have.")
        let area = source.area
        guard area.x >= 0, area.y >= 0, area.width > 0, area.height > 0 else { throw problem }
        switch (resources[source.resource]?.content, source.blob) {
        case (.image(let format, let width, let height, let pixels), nil):
            guard area.fits(width: width, height: height) else { throw problem }
            return picture(of: area, width, format, pixels)
        case (.host(let host), let blob?):
            guard area.fits(width: host.width, height: host.height), blob.format == host.format,
                blob.pixels.lowerBound >= 0,
                blob.pixels.count >= area.width * area.height * Resource.bytesPerPixel
            else { throw problem }
            return picture(of: area, blob)
        case (.blob, let blob?), (.hostBlob, let blob?):
            let edge = Resource.maximumEdge
            guard area.fits(width: edge, height: edge), blob.format.isVirtio, blob.stride <= UInt32.max,
                blob.offset <= UInt32.max, blob.pixels.lowerBound >= 0,
                blob.pixels.count >= area.width * area.height * Resource.bytesPerPixel,
                UInt64((area.x + area.width) * Resource.bytesPerPixel) <= blob.stride
            else { throw problem }
            let lines = UInt64(area.y + area.height - 1)
            let end = blob.offset + lines * blob.stride + UInt64((area.x + area.width) * Resource.bytesPerPixel)
            guard let size = resources[source.resource]?.blobSize, end <= size else { throw problem }
            return picture(of: area, blob)
        default: throw problem
        }
    }
}
