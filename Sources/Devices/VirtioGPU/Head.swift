import Device
import Display
import Linux

/// One head: what a monitor at it shows. `VIRTIO_GPU_MAX_SCANOUTS` would be 16.
final class Head: Framebuffer {
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
        /// For a blob, or a resource of the renderer's: how its pixels lie, and where the head has its own copy of the area.
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

    /// A cursor but for its image, which lies in the head's slot of the video memory.
    struct Pointer: Codable, Equatable, Sendable {
        var x: Int32
        var y: Int32
        var hotX: UInt32
        var hotY: UInt32
        var isShown: Bool
    }

    /// A cursor's image has so many lines of so many pixels.
    static let cursorEdge = 64
    /// In bytes; whole pages.
    static let cursorSize = cursorEdge * cursorEdge * Resource.bytesPerPixel

    private let memory: MappedBytes
    /// Where the cursor's image is in the video memory.
    let cursorPlace: Int
    private(set) var isPlugged: Bool
    private(set) var resolution: Resolution
    private(set) var source: Source?
    private var picture: Scanout?
    var pointer: Pointer?
    let damage = Damage()
    /// When its pictures are to be shown.
    var pacer = FramePacer()
    /// What was flushed and is not shown yet, in the head's own pixels.
    private var flushed: Rectangle?

    init(_ index: Int, resolution: Resolution, memory: MappedBytes) {
        self.memory = memory
        self.resolution = resolution
        cursorPlace = index * Self.cursorSize
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
    func part(of rectangle: Rectangle) -> Rectangle? {
        guard let source, let shown = rectangle.intersection(source.area) else { return nil }
        return Rectangle(
            x: shown.x - source.area.x, y: shown.y - source.area.y, width: shown.width, height: shown.height)
    }

    /// A part is to be shown.
    ///
    /// - Parameter part: in the head's own pixels.
    func flush(_ part: Rectangle) {
        flushed = flushed?.union(part) ?? part
    }

    /// All parts that are to be shown, as one.
    func takeFlushed() -> Rectangle? {
        defer { flushed = nil }
        guard let source else { return nil }
        // It may show something smaller by now.
        return flushed?.intersection(Rectangle(x: 0, y: 0, width: source.area.width, height: source.area.height))
    }

    // MARK: Framebuffer

    var scanout: Scanout? { isPlugged ? picture : nil }

    var cursor: Cursor? {
        guard let pointer, pointer.isShown else { return nil }
        let edge = Self.cursorEdge
        let image = Scanout(
            width: edge, height: edge, stride: edge * Resource.bytesPerPixel, format: .argb8888, memory: memory,
            offset: cursorPlace)
        return Cursor(
            x: Int(pointer.x), y: Int(pointer.y), hotX: min(Int(pointer.hotX), edge - 1),
            hotY: min(Int(pointer.hotY), edge - 1), image: image)
    }

    // MARK: State

    var state: State {
        State(
            isPlugged: isPlugged, width: resolution.width, height: resolution.height, source: source, pointer: pointer)
    }

    func restore(_ state: State, resolution: Resolution, picture: Scanout?) {
        isPlugged = state.isPlugged
        self.resolution = resolution
        source = state.source
        self.picture = picture
        pointer = state.pointer
        damage.addAll()
    }
}
