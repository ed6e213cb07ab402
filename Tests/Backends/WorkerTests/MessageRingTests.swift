import Linux
import SharedRing
import Testing

@testable import Worker

/// Messages in a ring between a device process and its worker.
@Suite struct MessageRingTests {
    @Test func aMessageThatIsLongerThanWhatWaitsIsAViolation() throws {
        let ring = try MessageRing(capacity: 4096)
        var consumer = MessageConsumer(ring, doorbell: try EventFD())
        let header: MessageRing.Header = [UInt64(17).littleEndian, 0]
        ring.store(header.span.bytes, at: 0)
        ring.memory.release(.tail, 32)
        #expect(throws: RingViolation.self) { try consumer.next() }
    }

    @Test func messagesComeOutAsTheyWerePutIn() throws {
        let ring = try MessageRing(capacity: 4096)
        let doorbell = try EventFD()
        var producer = MessageProducer(ring, doorbell: doorbell)
        var consumer = MessageConsumer(ring, doorbell: doorbell)
        // Round and round, and of every length that leaves a rest.
        for number in 0..<300 {
            let payload = [UInt8](repeating: UInt8(number & 0xff), count: number)
            let isPut = try producer.put(kind: UInt32(number), sequence: UInt64(number), payload)
            #expect(isPut)
            let sleeps = try consumer.prepareToSleep()
            #expect(!sleeps)
            let message = try consumer.next()
            #expect(message?.kind == UInt32(number))
            #expect(message?.sequence == UInt64(number))
            #expect(consumer.payload == payload)
        }
        let rest = try consumer.next()
        #expect(rest == nil)
        let sleeps = try consumer.prepareToSleep()
        #expect(sleeps)
    }
}
