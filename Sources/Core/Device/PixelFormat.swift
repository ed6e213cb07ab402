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
