import Linux

/// A device that shows pictures.
public protocol DisplayDevice: AnyObject {
    /// What each head shows, by its number.
    var framebuffers: [any Framebuffer] { get }
}

/// What one head of a display shows: read by screenshots, consoles and encoders.
public protocol Framebuffer: AnyObject {
    /// What is scanned out now; nil while the head is off or the mode makes no sense.
    var scanout: Scanout? { get }

    /// What the display lays over the picture; nil while it shows none.
    var cursor: Cursor? { get }

    /// What changes in the picture, for those who watch it: the same object as long as the framebuffer lives.
    var damage: Damage { get }
}

extension Framebuffer {
    public var cursor: Cursor? { nil }

    /// A place of its own from which to watch what changes. A device that is made anew has other framebuffers, to be watched anew.
    public func watchDamage() -> DamageWatch { DamageWatch(self) }
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
    public var memory: MappedBytes
    /// Where the first pixel is in ``memory``. `offset + height * stride` lies inside it.
    public var offset: Int
    /// For ``PixelFormat/indexed8``: 256 colours as 0xRRGGBB. Empty for any other format.
    public var palette: [UInt32]

    public init(
        width: Int, height: Int, stride: Int, format: PixelFormat, memory: MappedBytes, offset: Int,
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
    /// 32 bits, x:B:G:R 8:8:8:8.
    case xbgr8888
    /// 32 bits big-endian, x:B:G:R in memory order.
    case rgbx8888
    /// The same four with how opaque a pixel is, which counts in a ``Cursor`` alone.
    case argb8888, bgra8888, abgr8888, rgba8888
    /// 24 bits, R:G:B 8:8:8.
    case rgb888
    /// 24 bits big-endian, R:G:B in memory order.
    case bgr888
    /// 16 bits, R:G:B 5:6:5.
    case rgb565
    /// The same big-endian: DRM_FORMAT_BIG_ENDIAN is set.
    case rgb565BigEndian
    /// 15 bits, x:R:G:B 1:5:5:5.
    case xrgb1555
    /// The same big-endian.
    case xrgb1555BigEndian
    /// 8 bits, an index into a palette.
    case indexed8

    public var bytesPerPixel: Int {
        switch self {
        case .xrgb8888, .bgrx8888, .xbgr8888, .rgbx8888, .argb8888, .bgra8888, .abgr8888, .rgba8888: 4
        case .rgb888, .bgr888: 3
        case .rgb565, .rgb565BigEndian, .xrgb1555, .xrgb1555BigEndian: 2
        case .indexed8: 1
        }
    }
}

/// A part of a picture, in pixels from its upper left corner.
public struct Rectangle: Codable, Equatable, Sendable {
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
