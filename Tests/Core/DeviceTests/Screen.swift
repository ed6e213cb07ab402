import Linux

@testable import Device

/// A picture with unequal stride, in memory that someone else writes, on a display that tells what was drawn or has it
/// found.
final class Screen: DisplayHead {
    let picture: Scanout
    let damage: Damage
    /// Whether the picture is shown; telling so is the test's.
    var isOn = true
    private let tells: Bool

    init(width: Int, height: Int, format: PixelFormat = .xrgb8888, tells: Bool = false) throws {
        let stride = width * format.bytesPerPixel + 12
        let memory = try MemoryFile(name: "screen", size: 64 + stride * height)
        picture = Scanout(width: width, height: height, stride: stride, format: format, memory: memory, offset: 64)
        damage = Damage(comparingPixels: !tells)
        self.tells = tells
    }

    var scanout: Scanout? { isOn ? picture : nil }

    var whole: Rectangle { Rectangle(x: 0, y: 0, width: picture.width, height: picture.height) }

    var pixels: [[UInt8]] { picture.pixels }

    func draw(_ x: Int, _ y: Int, _ value: UInt8) {
        let place = picture.offset + y * picture.stride + x * picture.format.bytesPerPixel
        let bytes = [UInt8](repeating: value, count: picture.format.bytesPerPixel)
        picture.memory.replace(at: place, with: bytes.span.bytes)
        if tells { damage.add(Rectangle(x: x, y: y, width: 1, height: 1)) }
    }
}

extension Scanout {
    /// Red, green and blue of each pixel, line by line.
    var pixels: [[UInt8]] {
        (0..<height).map { y in
            var row = [UInt8](repeating: 0, count: width * 3)
            var span = row.mutableSpan
            rgbRow(y, into: &span)
            return row
        }
    }
}
