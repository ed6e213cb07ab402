import Device
import Linux

/// The result of ``ControlRequest/screenshot(head:)``: how to read the pixels that come as a descriptor.
struct Picture: Codable, Equatable {
    /// In pixels.
    var width: Int
    var height: Int
    /// Bytes from one line to the next.
    var stride: Int
    var format: PixelFormat
    /// For a format with a palette: its colours as 0xRRGGBB.
    var palette: [UInt32]

    /// The most pixels, which is what the largest display has: 8192 by 8192. Whoever reads a picture makes several
    /// copies of it.
    private static let mostPixels = 1 << 26

    /// The bytes that the pixels take; nil when the numbers make no picture, or one that no display shows.
    var size: Int? {
        let edge = 1...65536
        guard edge.contains(width), edge.contains(height), palette.count <= 256 else { return nil }
        guard width * height <= Self.mostPixels else { return nil }
        guard stride >= width * format.bytesPerPixel, stride <= Self.mostPixels * 4 / height else { return nil }
        return stride * height
    }

    /// The picture whose pixels are in `memory`, from its start.
    func scanout(in memory: MemoryFile) -> Scanout {
        Scanout(
            width: width, height: height, stride: stride, format: format, memory: memory, offset: 0, palette: palette)
    }
}
