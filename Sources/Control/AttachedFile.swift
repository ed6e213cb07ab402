import Linux

/// A file that came with a reply: the first ``size`` bytes of what whoever sent it may change or cut off at any time, so it
/// is read and never mapped.
public struct AttachedFile: ~Copyable {
    let descriptor: Descriptor
    /// In bytes.
    public let size: Int

    /// All of it.
    public borrowing func bytes() throws(ControlClientError) -> [UInt8] {
        let bytes = try read(at: 0, upTo: size)
        guard bytes.count == size else { throw Self.tooShort(bytes.count, of: size) }
        return bytes
    }

    /// Copies it to the end of another file.
    ///
    /// - Throws: `Errno` when the other file takes no more; ``ControlClientError`` when this one can't be read.
    public borrowing func copy(to other: borrowing Descriptor) throws {
        var done = 0
        while done < size {
            let piece = try read(at: done, upTo: min(1 << 20, size - done))
            guard !piece.isEmpty else { throw Self.tooShort(done, of: size) }
            try other.writeAll(piece.span.bytes)
            done += piece.count
        }
    }

    /// By offset: others may have the same open file, and move its position.
    private borrowing func read(at offset: Int, upTo limit: Int) throws(ControlClientError) -> [UInt8] {
        do throws(Errno) {
            return try descriptor.readBytes(at: offset, upTo: limit)
        } catch {
            throw .connection(error)
        }
    }

    private static func tooShort(_ count: Int, of size: Int) -> ControlClientError {
        .malformedReply("its file has \(count) of \(size) bytes")
    }
}
