import GuestMemory

/// A buffer that the driver has put into a queue: bytes for the device to read, then bytes for it to write.
///
/// Both parts are walked from front to back, however the driver has cut them into pieces. The guest can change bytes
/// after they were read: what is read once is the device's own copy. A piece outside guest memory fails the device
/// (``VirtioPort/fail(_:)``), and reads and writes stop short then, as they do once the queue was reset.
///
/// Memory that isn't there for a reason that is not the driver's (``VirtioPort``) is waited for: a read stops short and
/// the chain comes once more, so ``isInFlight`` is to be asked before what was read is acted on; a write is kept, and
/// done when the memory is there.
public final class Chain {
    /// Which of the chains in flight on its queue it is: no two have the same at a time. The same after a restored
    /// state.
    public let id: UInt16
    /// The queue's index.
    public var queue: Int { owner.index }
    /// How many bytes are still to be read.
    public private(set) var readable: Int
    /// How many bytes there is still room for.
    public private(set) var writable: Int
    /// How many bytes the device has written.
    public private(set) var written = 0
    /// Whether the device has the chain: the driver hasn't got it back, its queue was not reset, and it doesn't come
    /// once more.
    public var isInFlight: Bool { isOpen && generation == owner.generation }
    private var isOpen = true
    var memory: AddressSpace { owner.memory }
    /// The last of the bytes written, for which there is no memory yet.
    private(set) var unwritten: [UInt8] = []

    /// As the ring has them: the last may be of an indirect table.
    let descriptors: [Descriptor]
    let generation: UInt64
    let segments: [Segment]
    /// How many of them, from the first on, are for the device to read.
    let readableSegments: Int
    private let owner: Virtqueue
    private var reader = Cursor()
    private var writer: Cursor

    /// A piece of guest memory, of one or more bytes or none.
    struct Segment: Equatable {
        var address: UInt64
        var length: UInt32
    }

    private struct Cursor {
        var segment = 0
        /// Bytes of the segment that are done with.
        var offset = 0
    }

    /// - Parameters:
    ///   - segments: those to be read, then those to be written.
    ///   - readableSegments: how many are to be read.
    init(id: UInt16, descriptors: [Descriptor], segments: [Segment], readableSegments: Int, owner: Virtqueue) {
        self.id = id
        self.descriptors = descriptors
        self.segments = segments
        self.readableSegments = readableSegments
        self.owner = owner
        generation = owner.generation
        readable = segments[..<readableSegments].reduce(0) { $0 + Int($1.length) }
        writable = segments[readableSegments...].reduce(0) { $0 + Int($1.length) }
        writer = Cursor(segment: readableSegments)
    }

    // MARK: Reading

    /// Fills `target` with the next bytes.
    ///
    /// - Returns: how many there are: fewer than `target` has when the readable part ends, or memory can't be reached.
    @discardableResult
    public func read(into target: inout MutableRawSpan) -> Int {
        var done = 0
        let count = min(target.byteCount, readable)
        while done < count, let piece = piece(reader, upTo: count - done) {
            var part = target._mutatingExtracting(done..<done + piece.count)
            guard owner.read(at: piece.address, into: &part, for: self) else { break }
            done += piece.count
            advance(&reader, piece.count)
        }
        // One that was put back has nothing to read any more.
        if isOpen { readable -= done }
        return done
    }

    /// The next bytes.
    ///
    /// - Parameter limit: how many at most; what a guest can make the device allocate is bounded by it.
    public func readBytes(limit: Int) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: min(max(limit, 0), readable))
        var span = bytes.mutableSpan
        var raw = span.mutableBytes
        let count = read(into: &raw)
        if count < bytes.count { bytes.removeSubrange(count...) }
        return bytes
    }

    /// The next bytes as a value, of a type of which every bit pattern is a value: integers, and structures of them.
    ///
    /// - Returns: nil when fewer bytes are left, which are not read then, or memory can't be reached.
    public func read<Value: BitwiseCopyable>(_: Value.Type) -> Value? {
        let size = MemoryLayout<Value>.size
        guard readable >= size else { return nil }
        return withUnsafeTemporaryAllocation(byteCount: size, alignment: MemoryLayout<Value>.alignment) { buffer in
            var span = MutableRawSpan(_unsafeBytes: buffer)
            // SAFETY: the buffer has the type's size and alignment; a read of all bytes has filled it.
            return read(into: &span) == size ? buffer.load(as: Value.self) : nil
        }
    }

    /// Passes over the next bytes.
    ///
    /// - Returns: how many; fewer than `count` when the readable part ends.
    @discardableResult
    public func skip(_ count: Int) -> Int {
        var left = min(max(count, 0), readable)
        let skipped = left
        while left > 0, let piece = piece(reader, upTo: left) {
            advance(&reader, piece.count)
            left -= piece.count
        }
        readable -= skipped
        return skipped
    }

    // MARK: Writing

    /// Writes the next bytes.
    ///
    /// - Returns: how many there was room for; fewer also when memory can't be reached.
    @discardableResult
    public func write(_ bytes: RawSpan) -> Int {
        var done = 0
        let count = min(bytes.byteCount, writable)
        pieces: while done < count, unwritten.isEmpty, let piece = piece(writer, upTo: count - done) {
            switch owner.write(at: piece.address, from: bytes.extracting(done..<done + piece.count), for: self) {
            case .done:
                done += piece.count
                advance(&writer, piece.count)
            case .awaited: break pieces
            case .failed:
                writable -= done
                written += done
                return done
            }
        }
        if done < count {
            // Some memory isn't there yet.
            // SAFETY: the bytes are copied while the pointer is good.
            unwritten += bytes.extracting(done..<count).withUnsafeBytes { Array($0) }
            done = count
        }
        writable -= done
        written += done
        return done
    }

    /// Writes the next bytes.
    @discardableResult
    public func write(_ bytes: [UInt8]) -> Int {
        write(bytes.span.bytes)
    }

    /// Writes the bytes of a value.
    ///
    /// - Returns: false when there was no room for all of them.
    @discardableResult
    public func write<Value: BitwiseCopyable>(_ value: Value) -> Bool {
        // SAFETY: the bytes of a local value, which are only read.
        withUnsafeBytes(of: value) { write(RawSpan(_unsafeBytes: $0)) == $0.count }
    }

    /// The device has it no more: its memory is none of its business.
    func close() {
        isOpen = false
        readable = 0
        writable = 0
    }

    /// Passes over the first bytes of the writable part, which are there already.
    func skipWritten(_ count: Int) {
        var left = min(max(count, 0), writable)
        writable -= left
        written += left
        while left > 0, let piece = piece(writer, upTo: left) {
            advance(&writer, piece.count)
            left -= piece.count
        }
    }

    // MARK: Pieces

    private func piece(_ cursor: Cursor, upTo count: Int) -> (address: UInt64, count: Int)? {
        var cursor = cursor
        while cursor.segment < segments.count, cursor.offset == Int(segments[cursor.segment].length) {
            cursor = Cursor(segment: cursor.segment + 1)
        }
        guard cursor.segment < segments.count else { return nil }
        let segment = segments[cursor.segment]
        // Wraps only where the access is refused.
        return (segment.address &+ UInt64(cursor.offset), min(count, Int(segment.length) - cursor.offset))
    }

    private func advance(_ cursor: inout Cursor, _ count: Int) {
        while cursor.offset == Int(segments[cursor.segment].length) { cursor = Cursor(segment: cursor.segment + 1) }
        cursor.offset += count
    }
}
