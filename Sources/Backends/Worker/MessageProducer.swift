import Linux
import SharedRing

/// The end of a ring that puts messages in.
struct MessageProducer: ~Copyable {
    let ring: MessageRing
    private var cursor: ProducerCursor
    /// The consumer's.
    private let doorbell: RingDoorbell
    /// Where payloads are written before they go in, so that no message takes memory of its own.
    private var writer = PayloadWriter()

    init(_ ring: MessageRing, doorbell: EventFD) {
        self.ring = ring
        cursor = ProducerCursor(ring.memory, capacity: UInt32(ring.capacity))
        self.doorbell = RingDoorbell(.consumerAsleep, of: ring.memory, event: doorbell)
    }

    /// The largest payload that goes through, in bytes.
    var limit: Int { ring.capacity / 2 }

    /// Puts a message in.
    ///
    /// - Returns: false when there is no room.
    /// - Throws: when the consumer breaks the ring's rules.
    mutating func put(_ message: some WorkerMessage, sequence: UInt64) throws(RingViolation) -> Bool {
        writer.clear()
        let kind = message.encode(into: &writer)
        assert(kind >> 31 == 0 || message is WindowCommand || message is WindowReply, "kind \(kind) is the windows'")
        return try put(kind: kind, sequence: sequence, writer.bytes)
    }

    /// Puts a message in, whatever it means.
    ///
    /// - Returns: false when there is no room.
    /// - Throws: when the consumer breaks the ring's rules.
    mutating func put(kind: UInt32, sequence: UInt64, _ payload: [UInt8]) throws(RingViolation) -> Bool {
        guard payload.count <= limit else { return false }
        let length = UInt32(MessageRing.length(payload: payload.count))
        guard try cursor.hasRoom(for: length) else { return false }
        let size = UInt64(payload.count)
        let header: MessageRing.Header = [(size | UInt64(kind) << 32).littleEndian, sequence.littleEndian]
        ring.store(header.span.bytes, at: cursor.tail)
        ring.store(payload.span.bytes, at: cursor.tail &+ UInt32(MessageRing.headerSize))
        cursor.put(length)
        doorbell.ring()
        return true
    }
}
