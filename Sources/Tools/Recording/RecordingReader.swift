import Linux
import Tap

/// Reads the records of a pcapng file, one after the other. The file may come from anywhere: all of it is checked, and
/// at most one block of it is in memory.
///
/// What isn't ours is passed over: packets of other dissectors and interfaces, other blocks. So a file that was
/// filtered or commented by Wireshark can be read.
public final class RecordingReader {
    /// Whether the file ends amid a block, as one does whose writer was killed.
    public private(set) var isCutOff = false
    /// nil: all is in ``bytes``.
    private let file: Descriptor?
    /// Where ``bytes`` begin in the file.
    private var base = 0
    private var bytes: [UInt8] = []
    /// What is taken of ``bytes``.
    private var position = 0
    /// Whether each of the section's interfaces has packets that name their dissector.
    private var interfaces: [Bool] = []

    /// The longest block that is looked into, in bytes. The longest of our own has a little more than 64 KiB.
    private static let maximumBlock = 1 << 20
    private static let maximumInterfaces = 256
    private static let batch = 256 << 10

    /// - Throws: when the file can't be opened, or doesn't begin as a pcapng file does.
    public convenience init(path: String) throws(RecordingError) {
        let file: Descriptor
        do throws(Errno) { file = try Descriptor(reading: path) } catch { throw .system(error) }
        try self.init(file, [])
    }

    /// Reads a copy of a file.
    ///
    /// - Throws: when it doesn't begin as a pcapng file does.
    public convenience init(copyOf bytes: [UInt8]) throws(RecordingError) {
        try self.init(nil, bytes)
    }

    private init(_ file: consuming Descriptor?, _ bytes: [UInt8]) throws(RecordingError) {
        self.file = file
        self.bytes = bytes
        guard try fill(28), number(UInt32.self, at: 0) == PacketFile.Block.section else { throw .noRecording }
    }

    /// The next record; nil at the end of the file.
    public func next() throws(RecordingError) -> Record? {
        while let length = try nextBlock() {
            let start = position
            let place = base + start
            position += length
            guard number(UInt32.self, at: start) == PacketFile.Block.packet else { continue }
            guard length >= PacketFile.packetOverhead else {
                throw .damaged(at: place, "a packet's block is too short")
            }
            guard let packet = try packet(start..<start + length, place) else { continue }
            let bytes = bytes
            do throws(RecordError) {
                return try Record(decoding: bytes.span.bytes.extracting(packet))
            } catch {
                throw .damaged(at: place, error.description)
            }
        }
        return nil
    }

    // MARK: Blocks

    /// The length of the block at ``position``, which is in memory whole; nil at the end of the file. Longer ones are
    /// passed over.
    private func nextBlock() throws(RecordingError) -> Int? {
        while true {
            guard try fill(12) else {
                if position < bytes.count { isCutOff = true }
                return nil
            }
            let place = base + position
            let type = number(UInt32.self, at: position)
            if type == PacketFile.Block.section {
                switch number(UInt32.self, at: position + 8) {
                case PacketFile.magic: interfaces = []
                case PacketFile.magic.byteSwapped: throw .damaged(at: place, "the numbers are big-endian")
                default: throw .damaged(at: place, "a section doesn't tell its byte order")
                }
            }
            let length = Int(number(UInt32.self, at: position + 4))
            guard length >= 12, length % 4 == 0 else {
                throw .damaged(at: place, "a block says that it is \(length) bytes long")
            }
            guard length <= Self.maximumBlock else {
                guard type != PacketFile.Block.packet else {
                    throw .damaged(at: place, "a packet of \(length) bytes is longer than any record")
                }
                try pass(over: length)
                continue
            }
            guard try fill(length) else {
                isCutOff = true
                return nil
            }
            guard Int(number(UInt32.self, at: position + length - 4)) == length else {
                throw .damaged(at: place, "a block doesn't end with its length, \(length)")
            }
            if type == PacketFile.Block.interface { try addInterface(length, place) }
            return length
        }
    }

    private func addInterface(_ length: Int, _ place: Int) throws(RecordingError) {
        guard length >= 20, interfaces.count < Self.maximumInterfaces else {
            throw .damaged(at: place, "an interface's block is too short, or there are too many")
        }
        interfaces.append(number(UInt16.self, at: position + 8) == PacketFile.linkType)
    }

    /// Where the record lies that a packet's block holds; nil when it is for another dissector.
    private func packet(_ block: Range<Int>, _ place: Int) throws(RecordingError) -> Range<Int>? {
        let start = block.lowerBound + 28
        let interface = Int(number(UInt32.self, at: block.lowerBound + 8))
        let captured = Int(number(UInt32.self, at: block.lowerBound + 20))
        guard interface < interfaces.count else {
            throw .damaged(at: place, "a packet is of interface \(interface), and there are \(interfaces.count)")
        }
        guard interfaces[interface] else { return nil }
        guard captured <= block.upperBound - 4 - start else {
            throw .damaged(at: place, "a packet of \(captured) bytes doesn't fit into its block")
        }
        let end = start + captured
        var tag = start
        var isOurs = false
        while end - tag >= 4 {
            let kind = number(UInt16.self, at: tag).byteSwapped
            let length = Int(number(UInt16.self, at: tag + 2).byteSwapped)
            guard length <= end - tag - 4 else { throw .damaged(at: place, "a packet's tag is cut off") }
            let content = tag + 4..<tag + 4 + length
            tag = content.upperBound
            if kind == PacketFile.Tag.end { return isOurs ? tag..<end : nil }
            if kind == PacketFile.Tag.dissector {
                isOurs = bytes[content].prefix { $0 != 0 }.elementsEqual(PacketFile.dissector.utf8)
            }
        }
        throw .damaged(at: place, "a packet's tags have no end")
    }

    // MARK: Bytes

    private func number<Value: FixedWidthInteger & BitwiseCopyable>(_ type: Value.Type, at place: Int) -> Value {
        let bytes = bytes
        return Value(littleEndian: bytes.span.bytes.unsafeLoadUnaligned(fromByteOffset: place, as: type))
    }

    /// Reads on until so many bytes are there from ``position`` on.
    ///
    /// - Returns: false when the file ends before.
    private func fill(_ count: Int) throws(RecordingError) -> Bool {
        if bytes.count - position >= count { return true }
        bytes.removeFirst(position)
        base += position
        position = 0
        while bytes.count < count {
            do throws(Errno) {
                let more = try file?.readOnce(upTo: max(Self.batch, count - bytes.count)) ?? []
                if more.isEmpty { return false }
                bytes += more
            } catch {
                throw .system(error)
            }
        }
        return true
    }

    private func pass(over length: Int) throws(RecordingError) {
        var left = length
        while left > 0 {
            guard try fill(1) else {
                isCutOff = true
                return
            }
            let step = min(left, bytes.count - position)
            position += step
            left -= step
        }
    }
}
