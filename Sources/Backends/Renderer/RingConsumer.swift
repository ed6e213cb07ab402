import Linux

/// The end of a ring that takes messages out.
public struct RingConsumer: ~Copyable {
    /// The producer broke the ring's rules: nothing that comes from it can be understood any more.
    public struct Violation: Error, CustomStringConvertible {
        public let description: String
    }

    /// A message, copied out of the ring.
    public struct Message: Sendable {
        public let kind: UInt32
        public let sequence: UInt64
        public let payload: [UInt8]
    }

    let ring: MessageRing
    /// Rung by the producer when the consumer sleeps.
    let doorbell: EventFD
    /// Where the next message begins. The ring's copy is for the producer.
    private var head: UInt64
    /// Up to where messages were seen: a producer can't take them back, and keep a consumer looking for them for ever.
    private var seen: UInt64

    init(_ ring: MessageRing, doorbell: EventFD) {
        self.ring = ring
        self.doorbell = doorbell
        head = ring.head
        seen = head
    }

    /// Takes the next message; nil when there is none.
    public mutating func next() throws(Violation) -> Message? {
        let tail = ring.tail
        let waiting = tail &- head
        guard waiting >= seen &- head else {
            throw Violation(description: "\(seen &- head) bytes waited, of which \(waiting) are left")
        }
        seen = tail
        guard waiting > 0 else { return nil }
        guard waiting <= UInt64(ring.capacity), waiting >= UInt64(MessageRing.headerSize) else {
            throw Violation(description: "\(waiting) bytes can't wait in a ring of \(ring.capacity)")
        }
        var header: InlineArray<2, UInt64> = [0, 0]
        var span = header.mutableSpan
        var raw = span.mutableBytes
        ring.load(at: head, into: &raw)
        let words = UInt64(littleEndian: header[0])
        let size = Int(UInt32(truncatingIfNeeded: words))
        let kind = UInt32(words >> 32)
        let sequence = UInt64(littleEndian: header[1])
        guard size <= ring.capacity, MessageRing.length(payload: size) <= Int(waiting) else {
            throw Violation(description: "a message of \(size) bytes is not among the \(waiting) that wait")
        }
        var payload = [UInt8](repeating: 0, count: size)
        var payloadSpan = payload.mutableSpan
        var payloadBytes = payloadSpan.mutableBytes
        ring.load(at: head &+ UInt64(MessageRing.headerSize), into: &payloadBytes)
        head &+= UInt64(MessageRing.length(payload: size))
        ring.head = head
        return Message(kind: kind, sequence: sequence, payload: payload)
    }

    /// Says that the producer must ring from now on.
    ///
    /// - Returns: false when a message waits already: there is nothing to sleep for.
    public mutating func prepareToSleep() -> Bool {
        ring.announceSleep()
        seen = ring.tail
        guard seen != head else { return true }
        wakeUp()
        return false
    }

    /// Ends what ``prepareToSleep()`` began.
    public func wakeUp() {
        ring.endSleep()
        doorbell.consume()
    }
}
