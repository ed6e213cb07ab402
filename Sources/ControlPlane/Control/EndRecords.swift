import Device
import Linux
import Tap

/// What stands at the end of a recording: what the guest has left in mapped memory, and what the heads show.
///
/// All of it belongs to one moment, from which on no passage is recorded. What the guest writes by its own hand is
/// copied after that, piece by piece while it goes on; pictures of such memory are made from the copy. So whoever has the
/// same device at that moment, and puts the recorded memory into it, sees the same pictures. Pictures of other memory
/// are copied at that moment, as they are; their pixels are converted piece by piece, too.
final class EndRecords: RecordSource {
    private let number: UInt64
    private var memory: ArraySlice<Piece> = []
    private var pictures: ArraySlice<(head: Int, scanout: Scanout, cursor: Cursor?)> = []
    private var reader: PixelReader?
    private var head = 0
    private var isEnded = false
    private var copies: [Copy] = []

    /// A piece of the memory behind a BAR.
    private struct Piece {
        let bar: Int
        let range: Range<Int>
        let isZero: Bool
        let source: MappedBytes
        let copy: MemoryFile
    }

    private struct Copy {
        let source: MappedBytes
        let range: Range<Int>
        let file: MemoryFile
    }

    /// - Parameter number: the passage that would come next.
    /// - Throws: `Errno` when there is no memory.
    init(of function: Function, from number: UInt64) throws(Errno) {
        self.number = number
        for bar in 0..<6 {
            guard let region = function.region(bar), region.isWritable, let bytes = region.memory,
                let end = region.mapped.last.flatMap({ Int(exactly: $0.upperBound) }), end <= bytes.size
            else { continue }
            let copy = Copy(source: bytes, range: 0..<end, file: try MemoryFile(name: "recorded", size: end))
            copies.append(copy)
            memory += Self.pieces(of: bytes, upTo: end).map {
                Piece(bar: bar, range: $0.range, isZero: $0.isZero, source: bytes, copy: copy.file)
            }
        }
        for (number, head) in (function.display?.heads ?? []).enumerated() {
            guard let scanout = head.scanout, PixelReader.takes(scanout) else { continue }
            var cursor = head.cursor
            if let image = cursor?.image { cursor?.image = try kept(image) }
            pictures.append((number, try kept(scanout), cursor))
        }
    }

    private static func pieces(of bytes: MappedBytes, upTo end: Int) -> [(range: Range<Int>, isZero: Bool)] {
        var pieces: [(Range<Int>, Bool)] = []
        var position = 0
        for extent in ((try? bytes.dataExtents()) ?? [0..<bytes.size]) where extent.lowerBound < end {
            if extent.lowerBound > position { pieces.append((position..<extent.lowerBound, true)) }
            position = min(end, extent.upperBound)
            for start in stride(from: extent.lowerBound, to: position, by: Record.maximumBytes) {
                pieces.append((start..<min(start + Record.maximumBytes, position), false))
            }
        }
        if position < end { pieces.append((position..<end, true)) }
        return pieces
    }

    /// The same picture in memory that nobody changes any more, once it is copied.
    private func kept(_ scanout: Scanout) throws(Errno) -> Scanout {
        let range = scanout.offset..<scanout.offset + scanout.stride * scanout.height
        let copy: Copy
        if let known = copies.first(where: { $0.source === scanout.memory && $0.range.contains(range) }) {
            copy = known
        } else {
            let file = try MemoryFile(name: "recorded", size: range.count)
            file.replace(at: 0, with: scanout.memory, at: range.lowerBound, count: range.count)
            copy = Copy(source: scanout.memory, range: range, file: file)
            copies.append(copy)
        }
        var kept = scanout
        (kept.memory, kept.offset) = (copy.file, range.lowerBound - copy.range.lowerBound)
        return kept
    }

    func next() throws -> RecordPiece? {
        guard !isEnded else { return nil }
        var record: Record
        if let piece = memory.popFirst() {
            record = Self.record(of: piece)
        } else if let part = try nextPart() {
            record = part
        } else {
            record = Record(.end)
            isEnded = true
        }
        (record.number, record.time) = (number, SystemClock.nanosecondsSinceEpoch)
        return RecordPiece(record)
    }

    private static func record(of piece: Piece) -> Record {
        var record = Record(.memory)
        let (start, count) = (piece.range.lowerBound, piece.range.count)
        (record.region, record.offset, record.count) = (UInt8(piece.bar), UInt64(start), UInt64(count))
        guard !piece.isZero else { return record }
        piece.copy.replace(at: start, with: piece.source, at: start, count: count)
        record.bytes = [UInt8](repeating: 0, count: count)
        var span = record.bytes.mutableSpan
        var raw = span.mutableBytes
        piece.copy.copy(at: start, count: count, into: &raw)
        return record
    }

    /// The next part of the pictures.
    private func nextPart() throws -> Record? {
        if reader == nil {
            guard let picture = pictures.popFirst() else { return nil }
            head = picture.head
            reader = try PixelReader(picture.scanout, picture.cursor)
        }
        guard let reader else { return nil }
        var record = Record(.picture)
        record.region = UInt8(clamping: head)
        (record.offset, record.value) = (UInt64(reader.scanout.width), UInt64(reader.scanout.height))
        record.count = UInt64(reader.size)
        record.partOffset = UInt32(clamping: reader.position)
        record.bytes = reader.read(Record.maximumBytes)
        record.hasMoreParts = reader.position < reader.size
        if !record.hasMoreParts { self.reader = nil }
        return record
    }
}
