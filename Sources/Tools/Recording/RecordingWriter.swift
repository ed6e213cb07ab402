import Linux
import Tap

/// Writes records into a pcapng file, which stock tools read. What was written can be read up to there, whatever
/// happens to the process or the disk.
///
/// The file holds what guests typed and computed: only its owner may read it.
public final class RecordingWriter {
    /// How many bytes the file has, with those that wait for ``flush()``.
    public private(set) var byteCount = 0
    private let file: Descriptor
    /// Whole blocks that are still to be written.
    private var waiting: [UInt8] = []
    /// How many bytes of whole blocks the file has.
    private var written = 0
    private var hasFailed = false

    /// How many bytes are gathered before they are written.
    private static let batch = 256 << 10

    /// - Parameters:
    ///   - path: where nothing is yet.
    ///   - replaces: a regular file there goes.
    /// - Throws: `.fileExists`; what `open(2)` says.
    public convenience init(path: String, replaces: Bool = false) throws(Errno) {
        try self.init(to: Descriptor(making: path, mode: 0o600, replaces: replaces))
    }

    /// - Parameter file: empty, or a pipe.
    public init(to file: consuming Descriptor) throws(Errno) {
        self.file = file
        waiting.reserveCapacity(Self.batch + Record.maximumLength + PacketFile.packetOverhead)
        appendHead()
        try flush()
    }

    deinit {
        try? flush()
    }

    /// Takes a record. It is in the file at the latest after ``flush()``.
    ///
    /// - Throws: `write(2)`'s error, such as `.noSpace`. The file ends with the last record that fits, and takes no
    ///   more.
    public func append(_ record: Record) throws(Errno) {
        try append(encoded: record.encoded().span.bytes, time: record.time)
    }

    /// Takes a record as it came out of a ring.
    ///
    /// - Parameters:
    ///   - bytes: at most `Record.maximumLength`.
    ///   - time: the record's.
    /// - Throws: as ``append(_:)``; `.invalidArgument` for more bytes.
    public func append(encoded bytes: RawSpan, time: UInt64) throws(Errno) {
        guard !hasFailed else { throw .ioError }
        guard bytes.byteCount <= Record.maximumLength else { throw .invalidArgument }
        let name = Array(PacketFile.dissector.utf8)
        let tags = 4 + PacketFile.padded(name.count) + 4
        let packet = tags + bytes.byteCount
        let length = UInt32(PacketFile.packetOverhead + PacketFile.padded(packet))
        let start = waiting.count
        waiting.appendLittle(PacketFile.Block.packet)
        waiting.appendLittle(length)
        waiting.appendLittle(UInt32(0))
        waiting.appendLittle(UInt32(truncatingIfNeeded: time >> 32))
        waiting.appendLittle(UInt32(truncatingIfNeeded: time))
        waiting.appendLittle(UInt32(packet))
        waiting.appendLittle(UInt32(packet))
        waiting.appendBig(PacketFile.Tag.dissector)
        waiting.appendBig(UInt16(PacketFile.padded(name.count)))
        waiting += name
        waiting.pad()
        waiting.appendBig(PacketFile.Tag.end)
        waiting.appendBig(UInt16(0))
        waiting.append(bytes)
        waiting.pad()
        waiting.appendLittle(length)
        byteCount += waiting.count - start
        if waiting.count >= Self.batch { try flush() }
    }

    /// What was taken is in the file then, and readers see it.
    ///
    /// - Throws: as ``append(_:)``.
    public func flush() throws(Errno) {
        guard !hasFailed else { throw .ioError }
        var done = 0
        do throws(Errno) {
            while done < waiting.count {
                let left = waiting.span.bytes.extracting(droppingFirst: done)
                done += try left.withUnsafeBytes { bytes throws(Errno) in try file.write(bytes) }
            }
        } catch {
            hasFailed = true
            written += wholeBlocks(in: done)
            byteCount = written
            // A pipe has no end to be moved.
            try? file.setSize(written)
            throw error
        }
        written += done
        waiting.removeAll(keepingCapacity: true)
    }

    /// Waits until the disk has what was written. `fsync(2)`
    public func synchronize() throws(Errno) {
        try flush()
        do throws(Errno) { try file.synchronize() } catch {
            // A pipe has no disk.
            guard error == .invalidArgument else { throw error }
        }
    }

    /// How many of the first bytes that wait are whole blocks.
    private func wholeBlocks(in count: Int) -> Int {
        var end = 0
        while count - end >= 8 {
            let length = (0..<4).reduce(0) { $0 | Int(waiting[end + 4 + $1]) << (8 * $1) }
            guard length > 0, length <= count - end else { break }
            end += length
        }
        return end
    }

    /// The section, and its only interface.
    private func appendHead() {
        let application = Array("Mediated".utf8)
        let section = UInt32(28 + 4 + PacketFile.padded(application.count) + 4)
        waiting.appendLittle(PacketFile.Block.section)
        waiting.appendLittle(section)
        waiting.appendLittle(PacketFile.magic)
        waiting.appendLittle(PacketFile.majorVersion)
        waiting.appendLittle(PacketFile.minorVersion)
        // How long the section is isn't known.
        waiting.appendLittle(UInt64.max)
        waiting.appendLittle(PacketFile.Option.application)
        waiting.appendLittle(UInt16(application.count))
        waiting += application
        waiting.pad()
        appendEndOfOptions()
        waiting.appendLittle(section)

        let interface = UInt32(20 + 8 + 4)
        waiting.appendLittle(PacketFile.Block.interface)
        waiting.appendLittle(interface)
        waiting.appendLittle(PacketFile.linkType)
        waiting.appendLittle(UInt16(0))
        // No packet is cut.
        waiting.appendLittle(UInt32(0))
        waiting.appendLittle(PacketFile.Option.resolution)
        waiting.appendLittle(UInt16(1))
        waiting.append(PacketFile.resolution)
        waiting.pad()
        appendEndOfOptions()
        waiting.appendLittle(interface)
        byteCount = waiting.count
    }

    private func appendEndOfOptions() {
        waiting.appendLittle(PacketFile.Option.end)
        waiting.appendLittle(UInt16(0))
    }
}
