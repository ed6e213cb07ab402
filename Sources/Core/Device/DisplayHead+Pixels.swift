import Linux

extension DisplayHead {
    /// What the head shows, with its cursor, as bytes: blue, green, red, and one that says nothing. Line after line.
    ///
    /// - Returns: nil while it shows nothing, and of more than 4096 by 4096 pixels, which would take too long.
    /// - Throws: what the system says when there is no memory.
    public func pixels() throws(Errno) -> (width: Int, height: Int, bytes: [UInt8])? {
        guard let scanout, let reader = try PixelReader(scanout, cursor) else { return nil }
        return (scanout.width, scanout.height, reader.read(reader.size))
    }
}

/// Gives out what a head shows piece by piece, as ``DisplayHead/pixels()`` gives it out at once.
public final class PixelReader {
    public let scanout: Scanout
    private let cursor: Cursor?
    private let lines: MemoryFile
    private var linesDone = 0
    /// How many bytes were given out.
    public private(set) var position = 0
    /// How many there are in all.
    public let size: Int

    /// - Returns: nil for more than 4096 by 4096 pixels.
    /// - Throws: what the system says when there is no memory.
    public init?(_ scanout: Scanout, _ cursor: Cursor?) throws(Errno) {
        guard Self.takes(scanout) else { return nil }
        size = scanout.width * scanout.height * 4
        lines = try MemoryFile(name: "picture", size: size)
        (self.scanout, self.cursor) = (scanout, cursor)
    }

    /// Whether it isn't too large.
    public static func takes(_ scanout: Scanout) -> Bool {
        (1...4096 * 4096).contains(scanout.width * scanout.height)
    }

    /// The next bytes, so many or all that are left.
    public func read(_ count: Int) -> [UInt8] {
        let end = position + min(count, size - position)
        let line = scanout.width * 4
        let lastLine = (end + line - 1) / line
        if lastLine > linesDone { scanout.copy(linesDone..<lastLine, with: cursor, to: lines) }
        linesDone = lastLine
        var bytes = [UInt8](repeating: 0, count: end - position)
        var span = bytes.mutableSpan
        var raw = span.mutableBytes
        lines.copy(at: position, count: end - position, into: &raw)
        // A pixel may be cut in two.
        for index in stride(from: 3 - position % 4, to: bytes.count, by: 4) { bytes[index] = 0 }
        position = end
        return bytes
    }
}
