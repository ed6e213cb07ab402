import Device
import Display
import Linux

/// One head: what a monitor at it shows. `VIRTIO_GPU_MAX_SCANOUTS` would be 16.
final class Head: DisplayHead {
    static let maximumCount = 4

    struct State: Codable, Equatable, Sendable {
        /// Whether there is a monitor, and what it prefers.
        var isPlugged: Bool
        var width: Int
        var height: Int
        var source: Source?
        var pointer: Pointer?
    }

    /// What the head shows a part of.
    struct Source: Codable, Equatable, Sendable {
        var resource: UInt32
        /// In the resource's pixels.
        var area: Rectangle
        /// For a blob, or a resource of the renderer's: how its pixels lie, and where the head has its own copy of the
        /// area.
        var blob: Blob?
    }

    struct Blob: Codable, Equatable, Sendable {
        var format: PixelFormat
        /// Where the first pixel is in the blob, and the bytes from one line to the next; 0 for what the renderer has.
        var offset: UInt64
        var stride: UInt64
        /// In the video memory.
        var pixels: Range<Int>
    }

    /// A cursor but for its image.
    struct Pointer: Codable, Equatable, Sendable {
        var x: Int32
        var y: Int32
        var hotX: UInt32
        var hotY: UInt32
        var isShown: Bool
    }

    let number: Int
    private let memory: MappedBytes
    private(set) var isPlugged: Bool
    private(set) var resolution: Resolution
    private(set) var source: Source?
    private var picture: Scanout?
    var pointer: Pointer?
    var cursorImage: CursorImage
    let damage = Damage()
    /// What was flushed and is not shown yet, in the head's own pixels.
    private var flushed: Rectangle?

    init(_ number: Int, resolution: Resolution, memory: MappedBytes) {
        self.number = number
        self.memory = memory
        self.resolution = resolution
        cursorImage = CursorImage(at: number * CursorImage.size, in: memory)
        isPlugged = true
    }

    // MARK: The monitor

    /// Puts a monitor at the head, or takes it away.
    ///
    /// - Returns: whether that changes anything.
    func plug(_ resolution: Resolution?) -> Bool {
        guard isPlugged != (resolution != nil) || resolution ?? self.resolution != self.resolution else { return false }
        isPlugged = resolution != nil
        self.resolution = resolution ?? self.resolution
        damage.addAll()
        return true
    }

    // MARK: The picture

    /// Shows another part of a resource, or nothing.
    ///
    /// - Parameter picture: the same in terms of memory.
    func show(_ source: Source?, _ picture: Scanout?) {
        guard source != self.source else { return }
        self.source = source
        self.picture = picture
        damage.addAll()
    }

    /// The part of a rectangle that the head shows, in its own pixels.
    ///
    /// - Parameter rectangle: in the resource's pixels.
    private func part(of rectangle: Rectangle) -> Rectangle? {
        guard let source, let shown = rectangle.intersection(source.area) else { return nil }
        return Rectangle(
            x: shown.x - source.area.x, y: shown.y - source.area.y, width: shown.width, height: shown.height)
    }

    /// What changed in a resource is to be shown.
    ///
    /// - Parameter rectangle: in the resource's pixels.
    /// - Returns: whether the head shows any of it.
    func flush(_ rectangle: Rectangle) -> Bool {
        guard let part = part(of: rectangle) else { return false }
        flushed = flushed?.union(part) ?? part
        return true
    }

    /// All parts that are to be shown, as one.
    func takeFlushed() -> Rectangle? {
        defer { flushed = nil }
        guard let source else { return nil }
        // It may show something smaller by now.
        return flushed?.intersection(Rectangle(x: 0, y: 0, width: source.area.width, height: source.area.height))
    }

    /// The renderer has written to the head's copy of a picture, or may have.
    ///
    /// - Parameter part: in the head's own pixels.
    func pixelsChanged(_ part: Rectangle, in pixels: Range<Int>) {
        // After a flip the head shows another picture from the same memory.
        if source?.blob?.pixels == pixels { damage.add(part) }
    }

    // MARK: DisplayHead

    var scanout: Scanout? { isPlugged ? picture : nil }

    var cursor: Cursor? {
        guard let pointer, pointer.isShown else { return nil }
        let edge = CursorImage.edge
        let image = Scanout(
            width: edge, height: edge, stride: edge * Resource.bytesPerPixel, format: .argb8888, memory: memory,
            offset: cursorImage.place)
        return Cursor(
            x: Int(pointer.x), y: Int(pointer.y), hotX: min(Int(pointer.hotX), edge - 1),
            hotY: min(Int(pointer.hotY), edge - 1), image: image)
    }

    // MARK: State

    var state: State {
        State(
            isPlugged: isPlugged, width: resolution.width, height: resolution.height, source: source, pointer: pointer)
    }

    /// Back to a head that shows nothing. Its monitor stays.
    func reset() {
        show(nil, nil)
        flushed = nil
        pointer = nil
        cursorImage.forget()
    }

    func restore(_ state: State, resolution: Resolution, picture: Scanout?) {
        isPlugged = state.isPlugged
        self.resolution = resolution
        source = state.source
        self.picture = picture
        flushed = nil
        pointer = state.pointer
        cursorImage.forget()
        damage.addAll()
    }
}
