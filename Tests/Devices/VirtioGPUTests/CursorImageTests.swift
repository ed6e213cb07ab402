import Device
import Linux
import Testing

@testable import VirtioGPU

/// A cursor's image, to which the renderer may be writing while others come.
@Suite struct CursorImageTests {
    private let memory: MappedBytes
    /// An image of other pixels, in the same memory.
    private let other = CursorImage.size

    init() throws {
        memory = try DeviceMemory().take("vram", size: 2 * CursorImage.size)
    }

    private func fill(_ start: Int, with pixel: [UInt8]) {
        let pixels = (0..<CursorImage.size).map { pixel[$0 & 3] }
        memory.replace(at: start, with: pixels.span.bytes)
    }

    /// The last pixel.
    private func pixel(_ image: CursorImage) -> [UInt8] {
        var bytes: [UInt8] = [0, 0, 0, 0]
        var span = bytes.mutableSpan
        var raw = span.mutableBytes
        memory.copy(at: image.place + CursorImage.size - 4, count: 4, into: &raw)
        return bytes
    }

    @Test func anImageThatComesWhileTheRendererWritesStays() {
        var image = CursorImage(at: 0, in: memory)
        fill(other, with: [1, 2, 3, 4])
        image.beginReading()
        image.copy(from: other, .abgr8888)
        // It is a copy: the resource may go.
        fill(other, with: [9, 9, 9, 9])
        fill(image.place, with: [5, 6, 7, 8])
        image.endReading(true, .abgr8888)
        #expect(pixel(image) == [3, 2, 1, 4])
        image.beginReading()
        image.set((0..<CursorImage.size).map { UInt8($0 & 3) })
        image.endReading(false, .abgr8888)
        #expect(pixel(image) == [0, 1, 2, 3])
    }

    @Test func whatTheRendererWasAskedForLastStays() {
        var image = CursorImage(at: 0, in: memory)
        fill(other, with: [1, 2, 3, 4])
        image.beginReading()
        image.copy(from: other, .argb8888)
        image.beginReading()
        image.endReading(true, .argb8888)
        fill(image.place, with: [5, 6, 7, 8])
        image.endReading(true, .abgr8888)
        #expect(pixel(image) == [7, 6, 5, 8])
    }

    /// The renderer may be ahead of its answers.
    @Test(arguments: [PixelFormat.abgr8888, .argb8888]) func anImageIsConvertedOnce(first: PixelFormat) {
        var image = CursorImage(at: 0, in: memory)
        image.beginReading()
        image.beginReading()
        fill(image.place, with: [1, 2, 3, 4])
        image.endReading(true, first)
        image.endReading(true, .abgr8888)
        #expect(pixel(image) == [3, 2, 1, 4])
        image.beginReading()
        image.endReading(false, .abgr8888)
        #expect(pixel(image) == [3, 2, 1, 4], "what the renderer has not written is as it was")
    }

    @Test func aResetLeavesNothingToBePut() {
        var image = CursorImage(at: 0, in: memory)
        fill(other, with: [1, 2, 3, 4])
        image.beginReading()
        image.copy(from: other, .argb8888)
        image.forget()
        fill(image.place, with: [0, 0, 0, 0])
        image.endReading(false, .abgr8888)
        #expect(pixel(image) == [0, 0, 0, 0])
    }
}
