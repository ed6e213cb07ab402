import Device
import Linux
import Testing

@Suite struct PixelConversionTests {
    private func row(
        _ format: PixelFormat, _ bytes: [UInt8], width: Int, y: Int = 0, offset: Int = 0, stride: Int = 0,
        palette: [UInt32] = [], room: Int? = nil
    ) throws -> [UInt8] {
        let memory = try MemoryFile(name: "picture", size: 4096)
        memory.replace(at: 0, with: bytes.span.bytes)
        let scanout = Scanout(
            width: width, height: 2, stride: stride, format: format, memory: memory, offset: offset, palette: palette)
        var row = [UInt8](repeating: 0xee, count: room ?? width * 3)
        var span = row.mutableSpan
        scanout.rgbRow(y, into: &span)
        return row
    }

    /// The first of two pixels is red, the second the colour 0x204060 as far as the format can tell.
    @Test(
        arguments: [
            (.xrgb8888, [0, 0, 255, 9, 0x60, 0x40, 0x20, 9], [0x20, 0x40, 0x60]),
            (.bgrx8888, [9, 255, 0, 0, 9, 0x20, 0x40, 0x60], [0x20, 0x40, 0x60]),
            (.xbgr8888, [255, 0, 0, 9, 0x20, 0x40, 0x60, 9], [0x20, 0x40, 0x60]),
            (.rgbx8888, [9, 0, 0, 255, 9, 0x60, 0x40, 0x20], [0x20, 0x40, 0x60]),
            (.argb8888, [0, 0, 255, 9, 0x60, 0x40, 0x20, 9], [0x20, 0x40, 0x60]),
            (.bgra8888, [9, 255, 0, 0, 9, 0x20, 0x40, 0x60], [0x20, 0x40, 0x60]),
            (.abgr8888, [255, 0, 0, 9, 0x20, 0x40, 0x60, 9], [0x20, 0x40, 0x60]),
            (.rgba8888, [9, 0, 0, 255, 9, 0x60, 0x40, 0x20], [0x20, 0x40, 0x60]),
            (.rgb888, [0, 0, 255, 0x60, 0x40, 0x20], [0x20, 0x40, 0x60]),
            (.bgr888, [255, 0, 0, 0x20, 0x40, 0x60], [0x20, 0x40, 0x60]),
            (.rgb565, [0x00, 0xf8, 0x0c, 0x22], [0x21, 0x41, 0x63]),
            (.rgb565BigEndian, [0xf8, 0x00, 0x22, 0x0c], [0x21, 0x41, 0x63]),
            (.xrgb1555, [0x00, 0x7c, 0x0c, 0x91], [0x21, 0x42, 0x63]),
            (.xrgb1555BigEndian, [0x7c, 0x00, 0x91, 0x0c], [0x21, 0x42, 0x63]),
            (.indexed8, [1, 2], [0x20, 0x40, 0x60]),
        ] as [(PixelFormat, [UInt8], [UInt8])])
    func everyFormatBecomesRedGreenBlue(format: PixelFormat, bytes: [UInt8], second: [UInt8]) throws {
        let palette: [UInt32] = format == .indexed8 ? [0, 0xff0000, 0x204060] : []
        #expect(bytes.count == 2 * format.bytesPerPixel)
        #expect(try row(format, bytes, width: 2, palette: palette) == [255, 0, 0] + second)
    }

    @Test func anIndexBeyondThePaletteIsBlack() throws {
        #expect(try row(.indexed8, [0, 1], width: 2, palette: [0xffffff]) == [255, 255, 255, 0, 0, 0])
    }

    @Test func linesFollowTheStride() throws {
        let bytes: [UInt8] = [9, 9, 0, 0, 9, 9, 9, 1]
        #expect(try row(.indexed8, bytes, width: 1, y: 1, offset: 2, stride: 5, palette: [1, 2]) == [0, 0, 2])
    }

    @Test(arguments: [-1, 2, .max]) func aLineOutsideThePictureLeavesTheRow(y: Int) throws {
        #expect(try row(.indexed8, [1], width: 1, y: y, stride: 1, palette: [0, 1]) == [0xee, 0xee, 0xee])
    }

    @Test(arguments: [0, 2, 3, 5, 6, 10]) func noMoreIsWrittenThanThereIsRoom(room: Int) throws {
        let row = try row(.indexed8, [0, 0], width: 2, palette: [0], room: room)
        let written = min(room / 3, 2) * 3
        let expected = [UInt8](repeating: 0, count: written) + [UInt8](repeating: 0xee, count: room - written)
        #expect(row == expected)
    }

    @Test(arguments: [PixelFormat.xrgb8888, .rgb888, .rgb565, .indexed8])
    func longLinesAreWhole(format: PixelFormat) throws {
        let width = 1100
        let memory = try MemoryFile(name: "picture", size: width * 4)
        let bytes = (0..<width * format.bytesPerPixel).map { UInt8(truncatingIfNeeded: $0 / format.bytesPerPixel) }
        memory.replace(at: 0, with: bytes.span.bytes)
        let palette = (0..<256).map { UInt32($0) * 0x010101 }
        let scanout = Scanout(
            width: width, height: 1, stride: 0, format: format, memory: memory, offset: 0, palette: palette)
        var row = [UInt8](repeating: 0, count: width * 3)
        var span = row.mutableSpan
        scanout.rgbRow(0, into: &span)
        let blues = (0..<width).map { row[$0 * 3 + 2] }
        if format == .rgb565 {
            let five = (0..<width).map { UInt8($0 & 0x1f) }
            #expect(blues == five.map { $0 << 3 | $0 >> 2 })
        } else {
            #expect(blues == (0..<width).map { UInt8(truncatingIfNeeded: $0) })
        }
    }

    @Test func aPictureOutsideItsMemoryLeavesTheRow() throws {
        #expect(try row(.indexed8, [], width: 1, offset: 4096, palette: [1]) == [0xee, 0xee, 0xee])
    }
}
