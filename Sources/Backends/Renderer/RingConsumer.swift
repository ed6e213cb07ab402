import Linux
import SharedRing

/// The end of a ring that takes messages out.
public struct RingConsumer: ~Copyable {
    /// A message, copied out of the ring.
    public struct Message: Sendable {
        public let kind: UInt32
        public let sequence: UInt64
        public let payload: [UInt8]
    }

    let ring: MessageRing
    private var cursor: ConsumerCursor
    /// Rung by the producer when the consumer sleeps.
    let doorbell: RingDoorbell

    init(_ ring: MessageRing, doorbell: EventFD) {
        self.ring = ring
        cursor = ConsumerCursor(ring.memory, capacity: UInt32(ring.capacity))
        self.doorbell = RingDoorbell(.consumerAsleep, of: ring.memory, event: doorbell)
    }

    /// Takes the next message; nil when there is none.
    public mutating func next() throws(RingViolation) -> Message? {
        let waiting = Int(try cursor.waiting())
        guard waiting > 0 else { return nil }
        guard waiting >= MessageRing.headerSize else {
            throw RingViolation("\(waiting) bytes are no message")
        }
        var header: InlineArray<2, UInt64> = [0, 0]
        var span = header.mutableSpan
        var raw = span.mutableBytes
        ring.load(at: cursor.head, into: &raw)
        let words = UInt64(littleEndian: header[0])
        let size = Int(UInt32(truncatingIfNeeded: words))
        let kind = UInt32(words >> 32)
        let sequence = UInt64(littleEndian: header[1])
        guard size <= ring.capacity, MessageRing.length(payload: size) <= waiting else {
            throw RingViolation("a message of \(size) bytes is not among the \(waiting) that wait")
        }
        var payload = [UInt8](repeating: 0, count: size)
        var payloadSpan = payload.mutableSpan
        var payloadBytes = payloadSpan.mutableBytes
        ring.load(at: cursor.head &+ UInt32(MessageRing.headerSize), into: &payloadBytes)
        cursor.take(UInt32(MessageRing.length(payload: size)))
        return Message(kind: kind, sequence: sequence, payload: payload)
    }

    /// Says that the producer must ring from now on.
    ///
    /// - Returns: false when a message waits already: there is nothing to sleep for.
    public mutating func prepareToSleep() throws(RingViolation) -> Bool {
        try doorbell.prepareToSleep { () throws(RingViolation) in try cursor.waiting() > 0 }
    }

    /// Ends what ``prepareToSleep()`` began.
    public func wakeUp() { doorbell.wakeUp() }
}
