import Linux

/// A file that came with a reply: the first ``size`` bytes of what whoever sent it may change or cut off at any time,
/// so it is read and never mapped.
public final class AttachedFile: Sendable {
    public let descriptor: Descriptor
    /// In bytes.
    public let size: Int

    init(descriptor: consuming Descriptor, size: Int) {
        self.descriptor = descriptor
        self.size = size
    }

    /// All of it.
    public func bytes() throws(ControlClientError) -> [UInt8] {
        let bytes = try read(at: 0, upTo: size)
        guard bytes.count == size else { throw Self.tooShort(bytes.count, of: size) }
        return bytes
    }

    /// Makes another file, which is empty, the same. Whole pieces of zeros become holes: whoever sent this one can make
    /// it as long as it may be at no cost.
    ///
    /// - Throws: `Errno` when the other file takes no more; ``ControlClientError`` when this one can't be read.
    public func copy(to other: borrowing Descriptor) throws {
        let zeros = [UInt8](repeating: 0, count: Self.pieceSize)
        var done = 0
        while done < size {
            let piece = try piece(at: done)
            if piece.count == zeros.count, piece == zeros {
                try other.skip(piece.count)
            } else {
                try other.writeAll(piece.span.bytes)
            }
            done += piece.count
        }
        try other.endHere()
    }

    /// Whether another file has the same bytes, and no more.
    public func equals(_ other: borrowing Descriptor) throws -> Bool {
        guard try other.status().size == size else { return false }
        var done = 0
        while done < size {
            let piece = try piece(at: done)
            guard try piece == other.readBytes(at: done, upTo: piece.count) else { return false }
            done += piece.count
        }
        return true
    }

    private static let pieceSize = 64 << 10

    private func piece(at offset: Int) throws(ControlClientError) -> [UInt8] {
        let piece = try read(at: offset, upTo: min(Self.pieceSize, size - offset))
        guard !piece.isEmpty else { throw Self.tooShort(offset, of: size) }
        return piece
    }

    /// By offset: others may have the same open file, and move its position.
    private func read(at offset: Int, upTo limit: Int) throws(ControlClientError) -> [UInt8] {
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
