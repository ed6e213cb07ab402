import Device
import Linux
import Testing

@Suite struct CursorTests {
    /// A grey picture of three by two pixels.
    private func picture() throws -> Scanout {
        let memory = try MemoryFile(name: "picture", size: 4096)
        memory.replace(at: 0, with: [UInt8](repeating: 100, count: 2 * 3 * 3).span.bytes)
        return Scanout(width: 3, height: 2, stride: 9, format: .rgb888, memory: memory, offset: 0)
    }

    /// Two by two pixels: opaque red, half of white, nothing, opaque blue.
    private func cursor(x: Int, y: Int) throws -> Cursor {
        let memory = try MemoryFile(name: "cursor", size: 4096)
        let pixels: [UInt8] = [0, 0, 255, 255, 128, 128, 128, 128, 0, 0, 0, 0, 255, 0, 0, 255]
        memory.replace(at: 8, with: pixels.span.bytes)
        let image = Scanout(width: 2, height: 2, stride: 8, format: .argb8888, memory: memory, offset: 8)
        return Cursor(x: x, y: y, hotX: 0, hotY: 0, image: image)
    }

    private func rows(_ scanout: Scanout) -> [[UInt8]] {
        (0..<scanout.height).map { y in
            var row = [UInt8](repeating: 0, count: scanout.width * 3)
            var span = row.mutableSpan
            scanout.rgbRow(y, into: &span)
            return row
        }
    }

    private func drawing(_ cursor: Cursor, on picture: Scanout? = nil) throws -> Scanout {
        let picture = try picture ?? self.picture()
        let memory = try MemoryFile(name: "drawn", size: picture.width * picture.height * 4)
        picture.copy(0..<picture.height, with: cursor, to: memory)
        return Scanout(
            width: picture.width, height: picture.height, stride: picture.width * 4, format: .xrgb8888, memory: memory,
            offset: 0)
    }

    @Test func opaquePixelsCoverAndOthersShine() throws {
        let drawn = try drawing(cursor(x: 1, y: 0))
        #expect(
            rows(drawn) == [[100, 100, 100, 255, 0, 0, 178, 178, 178], [100, 100, 100, 100, 100, 100, 0, 0, 255]])
    }

    @Test func whatIsBesideThePictureIsLeftOut() throws {
        #expect(
            try rows(drawing(cursor(x: -1, y: -1)))
                == [[0, 0, 255, 100, 100, 100, 100, 100, 100], [UInt8](repeating: 100, count: 9)])
        for place in [(3, 0), (-2, 0), (0, 2), (0, -2), (Int(Int32.max), Int(Int32.min))] {
            let drawn = try drawing(cursor(x: place.0, y: place.1))
            #expect(rows(drawn).joined().allSatisfy { $0 == 100 })
        }
    }

    @Test func thePictureItselfStaysAsItIs() throws {
        let picture = try picture()
        _ = try drawing(cursor(x: 0, y: 0), on: picture)
        #expect(rows(picture).joined().allSatisfy { $0 == 100 })
    }
}
