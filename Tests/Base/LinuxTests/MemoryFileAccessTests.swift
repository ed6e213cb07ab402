import Linux
import Testing

@Suite struct MemoryFileAccessTests {
    private let file: MemoryFile
    private let other: MemoryFile

    init() throws {
        file = try MemoryFile(name: "file", size: 4096)
        other = try MemoryFile(name: "other", size: 8192)
    }

    private func bytes(of file: MemoryFile, at offset: Int, count: Int) -> [UInt8]? {
        var bytes = [UInt8](repeating: 0xee, count: max(count, 0))
        var span = bytes.mutableSpan
        var raw = span.mutableBytes
        return file.copy(at: offset, count: count, into: &raw) ? bytes : nil
    }

    @Test func whatIsReplacedIsCopied() {
        let bytes: [UInt8] = [1, 2, 3]
        let replaced = file.replace(at: 4093, with: bytes.span.bytes)
        #expect(replaced)
        #expect(self.bytes(of: file, at: 4092, count: 4) == [0, 1, 2, 3])
    }

    @Test func onlyTheFrontOfALongerSpanIsFilled() {
        var bytes: [UInt8] = [9, 9, 9]
        var span = bytes.mutableSpan
        var raw = span.mutableBytes
        let copied = file.copy(at: 0, count: 2, into: &raw)
        #expect(copied)
        #expect(bytes == [0, 0, 9])
    }

    @Test func aSpanThatIsTooShortIsRefused() {
        var bytes: [UInt8] = [9]
        var span = bytes.mutableSpan
        var raw = span.mutableBytes
        let copied = file.copy(at: 0, count: 2, into: &raw)
        #expect(!copied)
        #expect(bytes == [9])
    }

    @Test(arguments: [(4096, 1), (4095, 2), (-1, 1), (0, -1), (.max, 1), (1, .max), (.min, .min)])
    func rangesOutsideTheFileAreRefused(offset: Int, count: Int) {
        #expect(!file.clear(at: offset, count: count))
        #expect(!file.replace(at: offset, with: other, at: 0, count: count))
        #expect(!other.replace(at: 0, with: file, at: offset, count: count))
        #expect(!file.equals(at: offset, other, at: 0, count: count))
        #expect(!other.equals(at: 0, file, at: offset, count: count))
        var byte: [UInt8] = [0]
        var span = byte.mutableSpan
        var raw = span.mutableBytes
        let copied = file.copy(at: offset, count: count, into: &raw)
        #expect(!copied)
    }

    @Test func nothingFitsAtTheVeryEnd() {
        #expect(file.clear(at: 4096, count: 0))
        #expect(bytes(of: file, at: 4096, count: 0) == [])
        #expect(file.equals(at: 4096, other, at: 8192, count: 0))
    }

    @Test func filesAreComparedAndCopiedAcross() {
        let bytes: [UInt8] = [5, 6, 7]
        other.replace(at: 5000, with: bytes.span.bytes)
        #expect(!file.equals(at: 100, other, at: 5000, count: 3))
        #expect(file.replace(at: 100, with: other, at: 5000, count: 3))
        #expect(file.equals(at: 100, other, at: 5000, count: 3))
        #expect(self.bytes(of: file, at: 99, count: 5) == [0, 5, 6, 7, 0])
    }

    @Test func aFileIsCopiedOntoItself() {
        let bytes: [UInt8] = [1, 2, 3, 4]
        file.replace(at: 0, with: bytes.span.bytes)
        #expect(file.replace(at: 1, with: file, at: 0, count: 4))
        #expect(self.bytes(of: file, at: 0, count: 5) == [1, 1, 2, 3, 4])
    }

    @Test func clearingTouchesTheRangeAlone() {
        let bytes: [UInt8] = [1, 2, 3]
        file.replace(at: 0, with: bytes.span.bytes)
        #expect(file.clear(at: 1, count: 1))
        #expect(self.bytes(of: file, at: 0, count: 3) == [1, 0, 3])
    }
}
