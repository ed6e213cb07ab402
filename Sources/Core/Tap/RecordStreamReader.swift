import Linux
import SharedRing

/// Takes the records out of a ``RecordStream`` that another process writes. That one is hostile: what it says is checked.
public final class RecordStreamReader {
    private let ring: SharedRing
    private let bell: RingDoorbell
    private let writerBell: RingDoorbell
    private var cursor: ConsumerCursor

    /// How long to sleep at most before looking again, as the writer wakes nobody for little.
    private static let pause = Duration.milliseconds(20)

    /// - Parameters:
    ///   - ring: the stream's memory.
    ///   - readerBell: the event of its ``RecordStream/readerBell``.
    ///   - writerBell: that of its ``RecordStream/writerBell``.
    /// - Throws: `.invalidArgument` when they are something else.
    public init(
        ring: consuming Descriptor, readerBell: consuming Descriptor, writerBell: consuming Descriptor
    ) throws(Errno) {
        let memory = try SharedRing(adopting: ring, size: Int(RecordStream.capacity))
        self.ring = memory
        bell = RingDoorbell(.consumerAsleep, of: memory, event: try EventFD(adopting: readerBell))
        self.writerBell = RingDoorbell(.producerAsleep, of: memory, event: try EventFD(adopting: writerBell))
        cursor = ConsumerCursor(memory, capacity: RecordStream.capacity)
    }

    /// Readable when much waits. For whoever waits for something else, too.
    public var event: EventFD { bell.event }

    /// The bytes of the next record, which ``Record/init(decoding:)`` reads; nil when there is none now.
    ///
    /// - Throws: ``RecordError`` when the writer broke the rules. Nothing that comes after can be understood.
    public func next() throws(RecordError) -> [UInt8]? {
        let waiting = try waiting()
        guard waiting > 0 else { return nil }
        let length = try Record.length(ofFirstIn: bytes(min(4, waiting)).span.bytes)
        guard length <= waiting else {
            throw RecordError(description: "A record of \(length) bytes can't be in \(waiting) bytes.")
        }
        let record = bytes(UInt32(length))
        guard try Record.length(ofFirstIn: record.span.bytes) == length else {
            throw RecordError(description: "A record's length has changed while it was read.")
        }
        cursor.take(UInt32(length))
        writerBell.ring()
        return record
    }

    /// Waits until there is a record, at most so long.
    ///
    /// - Returns: whether there is one.
    public func wait(within limit: Duration) throws(RecordError) -> Bool {
        let deadline = Deadline(after: limit)
        while try waiting() == 0 {
            guard let left = deadline.left, left > .zero else { return false }
            let mustSleep = try bell.prepareToSleep { () throws(RecordError) -> Bool in try waiting() > 0 }
            guard mustSleep else { return true }
            _ = try? waitReadable([bell.event.descriptor.raw], within: min(left, Self.pause))
            bell.wakeUp()
        }
        return true
    }

    private func waiting() throws(RecordError) -> UInt32 {
        do throws(RingViolation) {
            return try cursor.waiting()
        } catch {
            throw RecordError(description: "The writer of the recording broke the rules: \(error.description).")
        }
    }

    private func bytes(_ count: UInt32) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: Int(count))
        var span = bytes.mutableSpan
        var raw = span.mutableBytes
        ring.load(into: &raw, at: cursor.head, of: RecordStream.capacity)
        return bytes
    }
}
