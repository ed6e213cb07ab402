import Linux

/// The end of a ring that puts messages in.
public struct RingProducer: ~Copyable {
    let ring: MessageRing
    /// Wakes the consumer when it sleeps.
    let doorbell: EventFD
    /// Where the next message goes. The ring's copy is for the consumer.
    private var tail: UInt64

    init(_ ring: MessageRing, doorbell: EventFD) {
        self.ring = ring
        self.doorbell = doorbell
        tail = ring.tail
    }

    /// The largest payload that goes through, in bytes.
    public var limit: Int { ring.capacity / 2 }

    /// Whether a message with such a payload can be put in now. A consumer that breaks the ring's rules has no room, ever.
    public func hasRoom(payload: Int) -> Bool {
        let used = tail &- ring.head
        guard payload >= 0, payload <= limit, used <= UInt64(ring.capacity) else { return false }
        return MessageRing.length(payload: payload) <= ring.capacity - Int(used)
    }

    /// Puts a message in.
    ///
    /// - Returns: false when there is no room.
    public mutating func put(kind: UInt32, sequence: UInt64, _ payload: [UInt8]) -> Bool {
        guard hasRoom(payload: payload.count) else { return false }
        let size = UInt64(payload.count)
        let header: InlineArray<2, UInt64> = [(size | UInt64(kind) << 32).littleEndian, sequence.littleEndian]
        ring.store(header.span.bytes, at: tail)
        ring.store(payload.span.bytes, at: tail &+ UInt64(MessageRing.headerSize))
        tail &+= UInt64(MessageRing.length(payload: payload.count))
        ring.tail = tail
        if ring.takeSleeper() { doorbell.signal() }
        return true
    }
}
