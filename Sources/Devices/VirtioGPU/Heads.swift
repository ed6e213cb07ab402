import Device
import Display
import GuestMemory
import Linux
import Renderer

/// The device's heads: what each shows of which resource, its cursor, and its monitor.
final class Heads {
    let all: [Head]
    /// Where pictures are, and heads have their copies of others.
    let memory: VideoMemory
    private let guest: MappedMemory
    /// Where the host's blobs are.
    private let window: Window?

    init(_ count: Int, resolution: Resolution, memory: VideoMemory, guest: MappedMemory, window: Window?) {
        self.memory = memory
        self.guest = guest
        self.window = window
        all = (0..<count).map { Head($0, resolution: resolution, memory: memory.bytes) }
    }

    subscript(number: Int) -> Head { all[number] }

    func head(_ number: UInt32) throws(Refusal) -> Head {
        guard number < all.count else { throw .invalidScanout }
        return all[Int(number)]
    }

    // MARK: What they show

    /// SET_SCANOUT to nothing.
    func turnOff(_ head: Head) {
        show(nil, nil, at: head)
    }

    /// SET_SCANOUT of what has a format of its own.
    func show(_ area: Rectangle, of resource: Resource, _ id: UInt32, at head: Head) throws(Refusal) {
        switch resource.content {
        case .image(let format, let width, let height, let pixels):
            try Self.require(area, in: (width, height))
            show(Head.Source(resource: id, area: area), picture(of: area, width, format, pixels), at: head)
        case .host(let host):
            guard let format = host.format else { throw .invalidResource }
            try Self.require(area, in: (host.width, host.height))
            let blob = Head.Blob(format: format, offset: 0, stride: 0, pixels: try pixels(for: area, at: head))
            show(Head.Source(resource: id, area: area, blob: blob), picture(of: area, blob), at: head)
        case .blob, .hostBlob: throw .invalidResource
        }
    }

    /// SET_SCANOUT_BLOB
    func show(
        _ area: Rectangle, ofBlob resource: Resource, _ id: UInt32, _ layout: Command.BlobLayout, at head: Head
    ) throws(Refusal) {
        guard let size = resource.blobSize else { throw .invalidResource }
        // One that is mapped nowhere has no pixels.
        if let blob = resource.hostBlob, blob.range == nil { throw .invalidResource }
        let (width, height) = (Int(layout.width), Int(layout.height))
        guard let format = PixelFormat(virtio: layout.format), width <= Resource.maximumEdge,
            height <= Resource.maximumEdge
        else { throw .invalidParameter }
        try Self.require(area, in: (width, height))
        let stride = UInt64(layout.stride)
        let line = UInt64(width * Resource.bytesPerPixel)
        let end = UInt64(layout.offset) + UInt64(height - 1) * stride + line
        guard stride >= line, end <= size else { throw .invalidParameter }
        let blob = Head.Blob(
            format: format, offset: UInt64(layout.offset), stride: stride, pixels: try pixels(for: area, at: head))
        show(Head.Source(resource: id, area: area, blob: blob), picture(of: area, blob), at: head)
    }

    private static func require(_ area: Rectangle, in size: (width: Int, height: Int)) throws(Refusal) {
        guard area.width > 0, area.height > 0, area.fits(width: size.width, height: size.height) else {
            throw .invalidParameter
        }
    }

    /// A resource goes, and with it what heads show of it.
    func forget(_ resource: UInt32) {
        for head in all where head.source?.resource == resource { turnOff(head) }
    }

    /// Changes what a head shows, and frees the copy that it has shown before.
    private func show(_ source: Head.Source?, _ picture: Scanout?, at head: Head) {
        if let before = head.source?.blob?.pixels, before != source?.blob?.pixels { memory.release(before) }
        head.show(source, picture)
    }

    /// Memory for a head's copy of an area.
    private func pixels(for area: Rectangle, at head: Head) throws(Refusal) -> Range<Int> {
        // A flip between two pictures of one size needs no other.
        if let now = head.source, let shown = now.blob, now.area.width == area.width, now.area.height == area.height {
            return shown.pixels
        }
        guard let pixels = memory.allocate(area.width * area.height * Resource.bytesPerPixel) else {
            throw .outOfMemory
        }
        return pixels
    }

    /// Of a picture in the device's memory.
    func picture(of area: Rectangle, _ width: Int, _ format: PixelFormat, _ pixels: Range<Int>) -> Scanout {
        let stride = width * Resource.bytesPerPixel
        return Scanout(
            width: area.width, height: area.height, stride: stride, format: format, memory: memory.bytes,
            offset: pixels.lowerBound + area.y * stride + area.x * Resource.bytesPerPixel)
    }

    /// Of a head's copy of an area.
    func picture(of area: Rectangle, _ blob: Head.Blob) -> Scanout {
        Scanout(
            width: area.width, height: area.height, stride: area.width * Resource.bytesPerPixel, format: blob.format,
            memory: memory.bytes, offset: blob.pixels.lowerBound)
    }

    // MARK: Bringing them up to date

    /// RESOURCE_FLUSH: what changed in a resource is to be shown, by ``update(_:from:_:)``.
    ///
    /// - Returns: the heads that show any of it.
    func flush(_ area: Rectangle, of resource: Resource, _ id: UInt32) throws(Refusal) -> HeadSet {
        if case .image(_, let width, let height, _) = resource.content, !area.fits(width: width, height: height) {
            throw .invalidParameter
        }
        var flushed: HeadSet = []
        for head in all where head.source?.resource == id && head.flush(area) {
            flushed.insert(HeadSet(head: head.number))
        }
        return flushed
    }

    /// A part of what the renderer has, on its way to a head's own memory.
    struct Copy: Codable, Equatable {
        let head: Int
        /// In the head's own pixels.
        let part: Rectangle
        /// Where the head's copy is in the video memory.
        let pixels: Range<Int>
    }

    /// Has heads show what was flushed of what they have now.
    ///
    /// - Returns: what the renderer has to do for that. It is to be asked: ``finish(_:)`` follows its answer.
    func update(
        _ heads: HeadSet, from resources: ResourceTable, _ rendering: Rendering?
    ) throws(Refusal) -> (commands: [RendererCommand], copies: [Copy]) {
        var commands: [RendererCommand] = []
        var copies: [Copy] = []
        for head in all where heads.contains(head.number) {
            guard let source = head.source, let part = head.takeFlushed(), let resource = resources[source.resource]
            else { continue }
            guard let blob = source.blob else {
                head.damage.add(part)
                continue
            }
            if let host = resource.host {
                guard let rendering, !host.isLost else { continue }
                commands.append(try command(for: part, of: source, blob, rendering))
                copies.append(Copy(head: head.number, part: part, pixels: blob.pixels))
            } else if resource.hostBlob?.place != .lost {
                head.damage.add(part)
                try copy(part, of: source, blob, resource)
            }
        }
        for copy in copies { memory.beginWriting(to: copy.pixels) }
        return (commands, copies)
    }

    /// The renderer has written, or won't any more.
    func finish(_ copies: [Copy]) {
        for copy in copies {
            memory.endWriting(to: copy.pixels)
            all[copy.head].pixelsChanged(copy.part, in: copy.pixels)
        }
    }

    /// Brings a part of the head's copy of a blob up to date.
    private func copy(
        _ part: Rectangle, of source: Head.Source, _ blob: Head.Blob, _ resource: Resource
    ) throws(Refusal) {
        let (x, y) = (UInt64(source.area.x + part.x), UInt64(source.area.y + part.y))
        let stride = source.area.width * Resource.bytesPerPixel
        let lines = Backing.Lines(
            offset: blob.offset + y * blob.stride + x * UInt64(Resource.bytesPerPixel), stride: blob.stride,
            width: part.width, height: part.height,
            place: blob.pixels.lowerBound + part.y * stride + part.x * Resource.bytesPerPixel, placeStride: stride)
        if let host = resource.hostBlob {
            guard let window, let range = host.range else { throw .unspecified }
            try lines.copy(from: window.bytes, within: range, to: memory.bytes)
        } else {
            guard let backing = resource.backing else { throw .unspecified }
            try backing.copy(lines, from: guest, to: memory.bytes)
        }
    }

    /// What brings a head's copy of what the renderer has up to date: whole lines, as those lie without gaps.
    private func command(
        for part: Rectangle, of source: Head.Source, _ blob: Head.Blob, _ rendering: Rendering
    ) throws(Refusal) -> RendererCommand {
        let stride = source.area.width * Resource.bytesPerPixel
        let lines = Rectangle(
            x: source.area.x, y: source.area.y + part.y, width: source.area.width, height: part.height)
        let place = try rendering.place(
            in: memory.bytes, at: blob.pixels.lowerBound + part.y * stride, size: part.height * stride)
        return .readPixels(resource: source.resource, box: .init(lines), stride: UInt32(stride), to: place)
    }

    // MARK: Cursors

    /// UPDATE_CURSOR
    ///
    /// - Parameter resource: what has the image; nil: the one that is there stays.
    func updateCursor(of head: Head, _ pointer: Head.Pointer, from resource: Resource?) throws(Refusal) {
        switch resource?.content {
        case .image(let format, let width, let height, let pixels):
            guard width == CursorImage.edge, height == CursorImage.edge else { throw .invalidParameter }
            head.cursorImage.copy(from: pixels.lowerBound, format)
        case .blob(let size):
            guard let backing = resource?.backing else { throw .unspecified }
            guard size >= CursorImage.size else { throw .invalidParameter }
            try copyCursor(of: head, from: backing)
        case .hostBlob(let blob):
            guard let window, let range = blob.range else { throw .unspecified }
            guard range.count >= CursorImage.size else { throw .invalidParameter }
            var image = [UInt8](repeating: 0, count: CursorImage.size)
            var span = image.mutableSpan
            var bytes = span.mutableBytes
            window.bytes.copy(at: range.lowerBound, count: CursorImage.size, into: &bytes)
            head.cursorImage.set(image)
        case .host: throw .invalidResource
        case nil: break
        }
        head.pointer = pointer
    }

    private func copyCursor(of head: Head, from backing: Backing) throws(Refusal) {
        guard head.cursorImage.isBeingRead else {
            let place = head.cursorImage.place
            return try backing.copy(at: 0, count: CursorImage.size, from: guest, to: memory.bytes, at: place)
        }
        let image = try backing.bytes(at: 0, count: CursorImage.size, from: guest)
        head.cursorImage.set(image)
    }

    /// A cursor's image on its way from the renderer to a head's own memory.
    struct CursorRead: Codable, Equatable {
        let head: Int
        let format: PixelFormat
    }

    /// UPDATE_CURSOR from what the renderer has.
    ///
    /// - Returns: what the renderer has to do for that. It is to be asked: ``finish(_:isDone:)`` follows its answer.
    func updateCursor(
        of head: Head, _ pointer: Head.Pointer, from host: HostResource, _ id: UInt32, _ rendering: Rendering?
    ) throws(Refusal) -> (command: RendererCommand, read: CursorRead) {
        let edge = CursorImage.edge
        guard let rendering, let format = host.format, !host.isLost else { throw .invalidResource }
        guard host.width == edge, host.height == edge else { throw .invalidParameter }
        let place = try rendering.place(in: memory.bytes, at: head.cursorImage.place, size: CursorImage.size)
        head.cursorImage.beginReading()
        head.pointer = pointer
        let image = RendererCommand.Box(Rectangle(x: 0, y: 0, width: edge, height: edge))
        let stride = UInt32(edge * Resource.bytesPerPixel)
        return (
            .readPixels(resource: id, box: image, stride: stride, to: place),
            CursorRead(head: head.number, format: format)
        )
    }

    /// The renderer has written a cursor's image, or won't any more.
    func finish(_ read: CursorRead, isDone: Bool) {
        all[read.head].cursorImage.endReading(isDone, read.format)
    }

    /// MOVE_CURSOR
    func moveCursor(of head: Head, _ x: Int32, _ y: Int32) {
        head.pointer?.x = x
        head.pointer?.y = y
    }
}

extension RendererCommand.Box {
    /// - Parameter area: inside a picture.
    init(_ area: Rectangle) {
        self.init(
            x: UInt32(clamping: area.x), y: UInt32(clamping: area.y), width: UInt32(clamping: area.width),
            height: UInt32(clamping: area.height))
    }
}
