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
        let (begin, bytes): (Int, [UInt8])
        do throws(Errno) { (begin, bytes) = try Self.end(of: Descriptor(reading: path)) } catch {
            // What can't be read is for its reader as if nothing had been written: nearly always that is so.
            return ([], 0)
        }
        let end = begin + bytes.count
        let known = max(0, (offset.map { $0 <= end ? $0 : 0 } ?? 0) - begin)
        let lines = String(decoding: bytes.dropFirst(known), as: UTF8.self).split(separator: "\n")
        return (lines.suffix(max(0, count)).map(String.init), end)
    }

    /// Adds to it, and keeps it within its limit.
    func append(_ bytes: [UInt8]) {
        do throws(Errno) {
            let file = try Descriptor(appendingTo: path, mode: 0o640)
            try file.writeAll(bytes.span.bytes)
            try Self.trim(file)
        } catch {
            // What can't be written is lost. To tell of it for each piece would fill another log at the device
            // process's will, and to wait would hold up the logs of others.
        }
    }

    /// Keeps but the last lines of a log that has grown too long. A line that is written at this moment may be lost.
    func trim() {
        do throws(Errno) { try Self.trim(Descriptor(appendingTo: path)) } catch {
            // There is none yet; or it stays too long until it can be cut, which is tried again.
        }
    }

    private static func trim(_ file: borrowing Descriptor) throws(Errno) {
        guard try file.status().size > limit else { return }
        let (_, bytes) = try end(of: file)
        try file.setSize(0)
        try file.writeAll(bytes.span.bytes)
    }

    /// The bytes of the last lines, each whole, and where they begin.
    private static func end(of file: borrowing Descriptor) throws(Errno) -> (begin: Int, bytes: [UInt8]) {
        let begin = max(0, Int(try file.status().size) - readLimit)
        let bytes = try file.readBytes(at: begin, upTo: readLimit)
        guard begin > 0, let lineEnd = bytes.firstIndex(of: UInt8(ascii: "\n")) else { return (begin, bytes) }
        return (begin + lineEnd + 1, Array(bytes[(lineEnd + 1)...]))
    }
}
