import Linux
import SharedRing

/// The end of a ring that takes messages out.
struct MessageConsumer: ~Copyable {
    struct Header: Equatable {
        let kind: UInt32
        let sequence: UInt64
    }

    let ring: MessageRing
    private var cursor: ConsumerCursor
    /// Rung by the producer when the consumer sleeps.
    let doorbell: RingDoorbell
    /// That of the message that was taken last, copied out of the ring.
    private(set) var payload: [UInt8] = []

    init(_ ring: MessageRing, doorbell: EventFD) {
        self.ring = ring
        cursor = ConsumerCursor(ring.memory, capacity: UInt32(ring.capacity))
        self.doorbell = RingDoorbell(.consumerAsleep, of: ring.memory, event: doorbell)
    }

    /// Takes the next message, whose payload is ``payload`` then; nil when there is none.
    mutating func next() throws(RingViolation) -> Header? {
        let waiting = Int(try cursor.waiting())
        guard waiting > 0 else { return nil }
        guard waiting >= MessageRing.headerSize else {
            throw RingViolation("\(waiting) bytes are no message")
        }
        var header: MessageRing.Header = [0, 0]
        var span = header.mutableSpan
        var raw = span.mutableBytes
        ring.load(at: cursor.head, into: &raw)
        let words = UInt64(littleEndian: header[0])
        let size = Int(UInt32(truncatingIfNeeded: words))
        guard size <= ring.capacity, MessageRing.length(payload: size) <= waiting else {
            throw RingViolation("a message of \(size) bytes is not among the \(waiting) that wait")
        }
        resize(to: size)
        let (ring, start) = (ring, cursor.head &+ UInt32(MessageRing.headerSize))
        var payloadSpan = payload.mutableSpan
        var payloadBytes = payloadSpan.mutableBytes
        ring.load(at: start, into: &payloadBytes)
        cursor.take(UInt32(MessageRing.length(payload: size)))
        return Header(kind: UInt32(words >> 32), sequence: UInt64(littleEndian: header[1]))
    }

    /// Reads the message that was taken last.
    ///
    /// - Returns: nil when it is none of this type.
    func read<Message: WorkerMessage>(_ type: Message.Type, _ header: Header) -> Message? {
        var reader = PayloadReader(payload)
        guard let message = Message(kind: header.kind, payload: &reader), reader.isExact else { return nil }
        return message
    }

    private mutating func resize(to size: Int) {
        if size <= MessageRing.keptCapacity, payload.capacity > 2 * MessageRing.keptCapacity { payload = [] }
        if payload.count > size {
            payload.removeLast(payload.count - size)
        } else {
            payload.append(contentsOf: repeatElement(0, count: size - payload.count))
        }
    }

    /// Says that the producer must ring from now on.
    ///
    /// - Returns: false when a message waits already: there is nothing to sleep for.
    mutating func prepareToSleep() throws(RingViolation) -> Bool {
        try doorbell.prepareToSleep { () throws(RingViolation) in try cursor.waiting() > 0 }
    }

    /// Ends what ``prepareToSleep()`` began.
    func wakeUp() { doorbell.wakeUp() }
}
