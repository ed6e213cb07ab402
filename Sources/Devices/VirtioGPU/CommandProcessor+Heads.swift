import Device
import Renderer

extension CommandProcessor {
    func setScanout(_ number: UInt32, to area: Rectangle, of id: UInt32) throws(Refusal) {
        let head = try head(number)
        guard id != 0 else { return show(nil, nil, at: head) }
        let resource = try resource(id)
        if let host = resource.host { return try setScanout(head, to: area, of: id, host) }
        guard case .image(let format, let width, let height, let pixels) = resource.content else {
            throw .invalidResource
        }
        guard area.width > 0, area.height > 0, area.fits(width: width, height: height) else { throw .invalidParameter }
        let scanout = picture(of: area, width: width, format: format, pixels)
        show(Head.Source(resource: id, area: area), scanout, at: head)
    }

    func setScanout(
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
        let blob = Head.Blob(
            format: format, offset: UInt64(layout.offset), stride: stride, pixels: try pixels(for: area, at: head))
        let scanout = picture(of: area, blob)
        show(Head.Source(resource: id, area: area, blob: blob), scanout, at: head)
    }

    /// Memory for a head's copy of an area.
    func pixels(for area: Rectangle, at head: Head) throws(Refusal) -> Range<Int> {
        // A flip between two pictures of one size needs no other.
        if let now = head.source, let shown = now.blob, now.area.width == area.width, now.area.height == area.height {
            return shown.pixels
        }
        guard let pixels = memory.allocate(area.width * area.height * Resource.bytesPerPixel) else {
            throw .outOfMemory
        }
        return pixels
    }

    /// Changes what a head shows, and frees the copy that it has shown before.
    func show(_ source: Head.Source?, _ picture: Scanout?, at head: Head) {
        if let before = head.source?.blob?.pixels, before != source?.blob?.pixels { memory.release(before) }
        head.show(source, picture)
    }

    func picture(of area: Rectangle, width: Int, format: PixelFormat, _ pixels: Range<Int>) -> Scanout {
        let stride = width * Resource.bytesPerPixel
        return Scanout(
            width: area.width, height: area.height, stride: stride, format: format, memory: memory.bytes,
            offset: pixels.lowerBound + area.y * stride + area.x * Resource.bytesPerPixel)
    }

    func picture(of area: Rectangle, _ blob: Head.Blob) -> Scanout {
        Scanout(
            width: area.width, height: area.height, stride: area.width * Resource.bytesPerPixel, format: blob.format,
            memory: memory.bytes, offset: blob.pixels.lowerBound)
    }

    func flush(_ area: Rectangle, of id: UInt32) throws(Refusal) -> Progress {
        if case .image(_, let width, let height, _) = try resource(id).content, !area.fits(width: width, height: height)
        {
            throw .invalidParameter
        }
        var flushed: [Head] = []
        for head in heads where head.source?.resource == id {
            guard let part = head.part(of: area) else { continue }
            head.flush(part)
            flushed.append(head)
        }
        if let moment = moment(of: flushed) { return .postponed(flushed, until: moment) }
        guard let (commands, then) = try show(flushed) else { return .complete }
        return .sent(commands, then: then)
    }

    /// Has heads show what was flushed of what they have now.
    ///
    /// - Returns: what the renderer has to do for that, and what comes after it; nil: nothing.
    func show(_ heads: [Head]) throws(Refusal) -> (commands: [RendererCommand], then: (Bool) -> Void)? {
        var copies: [HostCopy] = []
        for head in heads {
            guard let source = head.source, let part = head.takeFlushed(), let resource = resources[source.resource]
            else { continue }
            if let host = resource.host {
                if let copy = try hostCopy(of: part, to: head, host) { copies.append(copy) }
            } else {
                head.damage.add(part)
                if let blob = source.blob { try copy(part, of: source, blob, resource.backing) }
            }
        }
        return copies.isEmpty ? nil : carryOut(copies)
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
}
