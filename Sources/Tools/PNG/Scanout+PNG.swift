import CPNG
import Device
import Linux

/// Why a picture could not be written.
public enum PNGError: Error, Equatable, CustomStringConvertible {
    /// The system refused.
    case system(Errno)
    /// libpng refused, in its own words.
    case encoder(String)

    public var description: String {
        switch self {
        case .system(let error): "\(error)"
        case .encoder(let message): "libpng: \(message)"
        }
    }
}

extension Scanout {
    /// The picture as a PNG of 8-bit RGB. Portable Network Graphics (PNG) Specification, colour type 2
    ///
    /// - Throws: ``PNGError/encoder(_:)``.
    public func png() throws(PNGError) -> [UInt8] {
        let line = width * 3
        var pixels = [UInt8](repeating: 0, count: line * height)
        for y in 0..<height {
            var span = pixels.mutableSpan
            var row = span._mutatingExtracting(y * line..<(y + 1) * line)
            rgbRow(y, into: &row)
        }
        var image = png_image()
        image.version = png_uint_32(PNG_IMAGE_VERSION)
        image.width = png_uint_32(width)
        image.height = png_uint_32(height)
        image.format = png_uint_32(PNG_FORMAT_RGB)
        // What a file takes at most when nothing can be compressed: zlib's and PNG's own share is far below a
        // sixteenth.
        var size = png_alloc_size_t(pixels.count + pixels.count / 16 + height + 4096)
        var file = [UInt8](repeating: 0, count: Int(size))
        // SAFETY: `pixels` holds height lines of width times 3 bytes, which is what a stride of 0 stands for, and
        // `file` has room for `size` bytes.
        guard png_image_write_to_memory(&image, &file, &size, 0, pixels, 0, nil) != 0 else {
            throw .encoder(
                withUnsafeBytes(of: image.message) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) })
        }
        file.removeLast(file.count - Int(size))
        return file
    }
}
