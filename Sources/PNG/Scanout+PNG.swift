import CPNG
import Device
import Glibc
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
    /// Writes the picture to a file as a PNG of 8-bit RGB. The file appears complete or not at all.
    ///
    /// Portable Network Graphics (PNG) Specification, colour type 2.
    public func writePNG(to path: String) throws(PNGError) {
        let line = width * 3
        var pixels = [UInt8](repeating: 0, count: line * height)
        for y in 0..<height {
            var span = pixels.mutableSpan
            var row = span._mutatingExtracting(y * line..<(y + 1) * line)
            rgbRow(y, into: &row)
        }
        var encoderMessage: String?
        do throws(Errno) {
            let file = try FileReplacement(path: path)
            encoderMessage = try Self.encode(pixels, width: width, height: height, to: file.descriptor)
            if encoderMessage == nil { try file.commit() }
        } catch {
            throw .system(error)
        }
        if let encoderMessage { throw .encoder(encoderMessage) }
    }

    /// - Returns: what libpng complains of; nil when it has written the file.
    private static func encode(
        _ pixels: [UInt8], width: Int, height: Int, to file: borrowing Descriptor
    ) throws(Errno) -> String? {
        let duplicate = try file.duplicate()
        guard let stream = fdopen(duplicate.raw, "wb") else { throw Errno(rawValue: errno) }
        // The stream has become the duplicate's owner.
        _ = duplicate.relinquish()
        var image = png_image()
        image.version = png_uint_32(PNG_IMAGE_VERSION)
        image.width = png_uint_32(width)
        image.height = png_uint_32(height)
        image.format = png_uint_32(PNG_FORMAT_RGB)
        // SAFETY: `pixels` holds height lines of width times 3 bytes, which is what a stride of 0 stands for.
        let written = png_image_write_to_stdio(&image, stream, 0, pixels, 0, nil)
        let isFlushed = fclose(stream) == 0
        let error = Errno(rawValue: errno)
        guard written != 0 else {
            return withUnsafeBytes(of: image.message) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
        }
        guard isFlushed else { throw error }
        return nil
    }
}
