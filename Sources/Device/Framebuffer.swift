import Linux

/// What one head of a display shows: read by screenshots, consoles and encoders.
public protocol Framebuffer: AnyObject {
    /// What is scanned out now; nil while the head is off or the mode makes no sense.
    var scanout: Scanout? { get }

    /// The rectangles in which pixels may have changed since the last call, clipped to the
    /// scanout; everything after a change of mode. At most 64 rectangles; the cost is at most one pass over the visible pixels.
    func takeDamage() -> [Rectangle]
}

/// A picture in memory: where its pixels are and how they are written down.
public struct Scanout: Sendable {
    /// In pixels.
    public var width: Int
    public var height: Int
    /// Bytes from one line to the next.
    public var stride: Int
    public var format: PixelFormat
    /// The memory that holds the pixels. The guest may change it while it is read.
    public var memory: MemoryFile
    /// Where the first pixel is in ``memory``. `offset + height * stride` lies inside it.
    public var offset: Int
    /// For ``PixelFormat/indexed8``: 256 colours as 0xRRGGBB. Empty for any other format.
    public var palette: [UInt32]

    public init(
        width: Int, height: Int, stride: Int, format: PixelFormat, memory: MemoryFile, offset: Int,
        palette: [UInt32] = []
    ) {
        self.width = width
        self.height = height
        self.stride = stride
        self.format = format
        self.memory = memory
        self.offset = offset
        self.palette = palette
    }
}

/// How one pixel is written down. Little-endian unless it says otherwise; named as Linux's
/// DRM_FORMAT_… in drm_fourcc.h.
public enum PixelFormat: String, Codable, Sendable {
    /// 32 bits, x:R:G:B 8:8:8:8.
    case xrgb8888
    /// 32 bits big-endian, x:R:G:B in memory order.
    case bgrx8888
    /// 24 bits, R:G:B 8:8:8.
    case rgb888
    /// 16 bits, R:G:B 5:6:5.
    case rgb565
    /// 15 bits, x:R:G:B 1:5:5:5.
    case xrgb1555
    /// 8 bits, an index into a palette.
    case indexed8

    public var bytesPerPixel: Int {
        switch self {
        case .xrgb8888, .bgrx8888: 4
        case .rgb888: 3
        case .rgb565, .xrgb1555: 2
        case .indexed8: 1
        }
    }
}

/// A part of a picture, in pixels from its upper left corner.
public struct Rectangle: Equatable, Sendable {
    public var x: Int
    public var y: Int
    public var width: Int
    public var height: Int

    public init(x: Int, y: Int, width: Int, height: Int) {
        self.x = x
        self.y = y
        self.width = width
        self.height = height
    }
}
