import Linux

/// The log of a vGPU: the last of what its device processes have written to standard error.
struct LogFile {
    let path: String

    /// From so many bytes on the older lines go.
    static let limit = 4 << 20
    /// How much is read, and kept of a log that has grown too long.
    private static let readLimit = 256 << 10

    /// The last lines, oldest first.
    ///
    /// - Parameters:
    ///   - count: the most lines.
    ///   - offset: only what was written behind so many bytes; nil: all. A log that is shorter has begun anew.
    /// - Returns: the lines, and the offset behind the last one.
    func lines(_ count: Int, after offset: Int? = nil) -> (lines: [String], end: Int) {
        guard let file = try? Descriptor(reading: path), let (begin, bytes) = Self.end(of: file) else { return ([], 0) }
        let end = begin + bytes.count
        let known = max(0, (offset.map { $0 <= end ? $0 : 0 } ?? 0) - begin)
        let lines = String(decoding: bytes.dropFirst(known), as: UTF8.self).split(separator: "\n")
        return (lines.suffix(max(0, count)).map(String.init), end)
    }

    /// Adds to it, and keeps it within its limit. What can't be written is lost.
    func append(_ bytes: [UInt8]) {
        guard let file = try? Descriptor(appendingTo: path, mode: 0o640) else { return }
        try? file.writeAll(bytes.span.bytes)
        Self.trim(file)
    }

    /// Keeps but the last lines of a log that has grown too long. A line that is written at this moment may be lost.
    func trim() {
        if let file = try? Descriptor(appendingTo: path) { Self.trim(file) }
    }

    private static func trim(_ file: borrowing Descriptor) {
        guard let size = try? file.status().size, size > limit, let (_, bytes) = end(of: file),
            (try? file.setSize(0)) != nil
        else { return }
        try? file.writeAll(bytes.span.bytes)
    }

    /// The bytes of the last lines, each whole, and where they begin.
    private static func end(of file: borrowing Descriptor) -> (begin: Int, bytes: [UInt8])? {
        guard let size = try? file.status().size else { return nil }
        let begin = max(0, Int(size) - readLimit)
        guard let bytes = try? file.readBytes(at: begin, upTo: readLimit) else { return nil }
        guard begin > 0, let lineEnd = bytes.firstIndex(of: UInt8(ascii: "\n")) else { return (begin, bytes) }
        return (begin + lineEnd + 1, Array(bytes[(lineEnd + 1)...]))
    }
}
