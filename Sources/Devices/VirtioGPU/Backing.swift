import CLinux
import GuestMemory
import Linux

/// The guest memory behind a resource: pieces at any addresses, one after the other.
struct Backing: Equatable, Sendable {
    /// The most entries that one command may have: the pages of the largest picture that a monitor here shows.
    static let maximumEntries = 1 << 16

    /// Entries that adjoin are one piece.
    struct Piece: Equatable, Sendable {
        var address: UInt64
        var length: UInt64
        /// Where it begins in the backing.
        let start: UInt64
    }

    private(set) var pieces: [Piece] = []
    /// In bytes.
    private(set) var size: UInt64 = 0

    /// Reads `count` times a `struct virtio_gpu_mem_entry`.
    init(_ entries: RawSpan, count: UInt32) throws(Refusal) {
        guard count <= Self.maximumEntries else { throw .outOfMemory }
        let entrySize = MemoryLayout<virtio_gpu_mem_entry>.size
        guard Int(count) <= entries.byteCount / entrySize else { throw .unspecified }
        for index in 0..<Int(count) {
            let entry = try entries.extracting(droppingFirst: index * entrySize).load(virtio_gpu_mem_entry.self)
            guard append(address: entry.addr, length: UInt64(entry.length)) else { throw .invalidParameter }
        }
    }

    /// - Returns: false when the range runs past 2^64, or all of them are too long together.
    private mutating func append(address: UInt64, length: UInt64) -> Bool {
        guard length > 0 else { return true }
        let (sum, overflow) = size.addingReportingOverflow(length)
        guard length - 1 <= .max - address, !overflow else { return false }
        if let last = pieces.last, last.address &+ last.length == address, address != 0 {
            pieces[pieces.count - 1].length += length
        } else {
            pieces.append(Piece(address: address, length: length, start: size))
        }
        size = sum
        return true
    }

    func contains(_ offset: UInt64, count: UInt64) -> Bool {
        offset <= size && count <= size - offset
    }

    /// Copies `count` bytes from `offset` on to a place in other memory.
    ///
    /// - Throws: ``Refusal/invalidParameter`` when the backing has no such bytes, ``Refusal/unreachable(_:)`` when
    ///   guest memory can't be read.
    func copy(
        at offset: UInt64, count: Int, from guest: MappedMemory, to target: MappedBytes, at place: Int
    ) throws(Refusal) {
        try forEachPart(at: offset, count: count) { address, count, done throws(DMAError) in
            try guest.read(at: address, count: count, into: target, at: place + done)
        }
    }

    /// A copy of `count` bytes from `offset` on.
    ///
    /// - Throws: as ``copy(at:count:from:to:at:)`` does.
    func bytes(at offset: UInt64, count: Int, from guest: MappedMemory) throws(Refusal) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        try forEachPart(at: offset, count: count) { address, count, done throws(DMAError) in
            var span = bytes.mutableSpan
            var raw = span.mutableBytes
            var part = raw._mutatingExtracting(done..<done + count)
            try guest.read(at: address, into: &part)
        }
        return bytes
    }

    /// - Parameter body: is given where a part is in guest memory, how many bytes it has, and how many there were
    ///   before.
    private func forEachPart(
        at offset: UInt64, count: Int, _ body: (_ address: UInt64, _ count: Int, _ done: Int) throws(DMAError) -> Void
    ) throws(Refusal) {
        guard contains(offset, count: UInt64(count)) else { throw .invalidParameter }
        var done = 0
        var index = firstPiece(endingAfter: offset)
        while done < count {
            let piece = pieces[index]
            let skipped = offset + UInt64(done) - piece.start
            let part = Int(min(UInt64(count - done), piece.length - skipped))
            do throws(DMAError) {
                try body(piece.address + skipped, part, done)
            } catch {
                throw .unreachable(error)
            }
            done += part
            index += 1
        }
    }

    /// Lines of pixels: how they lie in a backing, and where they go.
    struct Lines {
        /// Where the first pixel is in the backing, and the bytes from one line to the next.
        var offset: UInt64
        var stride: UInt64
        /// In pixels.
        var width: Int
        var height: Int
        /// The same in the other memory.
        var place: Int
        var placeStride: Int

        private var line: Int { width * Resource.bytesPerPixel }

        /// Whether so many bytes have them all.
        func fit(into size: UInt64) -> Bool {
            let count = UInt64(height - 1) * stride + UInt64(line)
            return offset <= size && count <= size - offset
        }

        /// Copies them from other memory of the device's own; ``offset`` counts from the beginning of `range`.
        ///
        /// - Throws: before anything is copied when the range doesn't have them all.
        func copy(from memory: MappedBytes, within range: Range<Int>, to target: MappedBytes) throws(Refusal) {
            guard width > 0, height > 0 else { return }
            guard fit(into: UInt64(range.count)) else { throw .invalidParameter }
            for y in 0..<height {
                target.replace(
                    at: place + y * placeStride, with: memory,
                    at: range.lowerBound + Int(offset) + y * Int(stride), count: line)
            }
        }
    }

    /// Copies lines of pixels from guest memory; all that follow each other on both sides in one piece.
    ///
    /// - Throws: before anything is copied when the backing doesn't have them all.
    func copy(_ lines: Lines, from guest: MappedMemory, to target: MappedBytes) throws(Refusal) {
        let line = lines.width * Resource.bytesPerPixel
        guard line > 0, lines.height > 0 else { return }
        guard contains(lines.offset, count: UInt64(lines.height - 1) * lines.stride + UInt64(line)) else {
            throw .invalidParameter
        }
        if line == lines.placeStride, UInt64(line) == lines.stride {
            return try copy(at: lines.offset, count: line * lines.height, from: guest, to: target, at: lines.place)
        }
        for y in 0..<lines.height {
            try copy(
                at: lines.offset + UInt64(y) * lines.stride, count: line, from: guest, to: target,
                at: lines.place + y * lines.placeStride)
        }
    }

    private func firstPiece(endingAfter offset: UInt64) -> Int {
        var low = 0
        var high = pieces.count
        while low < high {
            let middle = (low + high) / 2
            if pieces[middle].start + pieces[middle].length <= offset { low = middle + 1 } else { high = middle }
        }
        return low
    }
}

/// As a flat list of numbers: address and length by turns.
extension Backing: Codable {
    init(from decoder: any Decoder) throws {
        let numbers = try [UInt64](from: decoder)
        for index in stride(from: 0, to: numbers.count, by: 2) {
            guard index + 1 < numbers.count, append(address: numbers[index], length: numbers[index + 1]) else {
                throw DecodingError.dataCorrupted(
                    .init(codingPath: decoder.codingPath, debugDescription: "this is no list of ranges"))
            }
        }
    }

    func encode(to encoder: any Encoder) throws {
        try pieces.flatMap { [$0.address, $0.length] }.encode(to: encoder)
    }
}
