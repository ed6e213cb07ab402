import Linux

/// A pointer that a display lays over its picture, and that its pixels know nothing of.
public struct Cursor: Sendable {
    /// Where the image's upper left corner is in the picture, in pixels; it may lie outside.
    public var x: Int
    public var y: Int
    /// The pixel of the image that points.
    public var hotX: Int
    public var hotY: Int
    /// In ``PixelFormat/argb8888``, its colours multiplied by how opaque they are.
    public var image: Scanout

    public init(x: Int, y: Int, hotX: Int, hotY: Int, image: Scanout) {
        self.x = x
        self.y = y
        self.hotX = hotX
        self.hotY = hotY
        self.image = image
    }
}

extension Scanout {
    /// Writes some lines of the picture in ``PixelFormat/xrgb8888``, with a cursor on them if there is one, to where
    /// they belong in a picture without gaps between its lines.
    public func copy(_ lines: Range<Int>, with cursor: Cursor?, to memory: MappedBytes) {
        var colours = [UInt8](repeating: 0, count: width * 3)
        var line = [UInt8](repeating: 0, count: width * 4)
        for y in lines {
            var span = colours.mutableSpan
            rgbRow(y, into: &span)
            for x in 0..<width {
                for channel in 0..<3 { line[x * 4 + channel] = colours[x * 3 + 2 - channel] }
            }
            cursor?.draw(on: &line, y: y, width: width)
            memory.replace(at: y * line.count, with: line.span.bytes)
        }
    }

    /// Copies some lines as they are, without what lies between them, to where they belong in a picture without gaps.
    public func copy(_ lines: Range<Int>, to memory: MappedBytes) {
        let line = width * format.bytesPerPixel
        for y in lines {
            memory.replace(at: y * line, with: self.memory, at: offset + y * stride, count: line)
        }
    }
}

extension Cursor {
    /// Lays what of the cursor is on line `y` over its pixels: blue, green, red and one more byte each.
    fileprivate func draw(on line: inout [UInt8], y: Int, width: Int) {
        // Both edges are within 32 bits and so are the image's: no difference overflows.
        let row = y - self.y
        guard row >= 0, row < image.height else { return }
        let size = image.width * 4
        var pixels = [UInt8](repeating: 0, count: size)
        var span = pixels.mutableSpan
        var bytes = span.mutableBytes
        image.memory.copy(at: image.offset + row * image.stride, count: size, into: &bytes)
        for column in 0..<image.width {
            let x = self.x + column
            guard x >= 0, x < width else { continue }
            let transparency = 255 - Int(pixels[column * 4 + 3])
            for channel in 0..<3 {
                let below = Int(line[x * 4 + channel]) * transparency
                let sum = Int(pixels[column * 4 + channel]) + (below + 127) / 255
                line[x * 4 + channel] = UInt8(clamping: sum)
            }
        }
    }
}
