import Linux
import Testing

@testable import Renderer

/// The ring between a device process and a renderer that was taken over.
@Suite struct MessageRingTests {
    @Test func whatWasSeenCanNotBeTakenBack() throws {
        let ring = try MessageRing(capacity: 4096)
        let doorbell = try EventFD()
        var producer = RingProducer(ring, doorbell: doorbell)
        var consumer = RingConsumer(ring, doorbell: doorbell)
        let before = ring.tail
        let isPut = producer.put(kind: 1, sequence: 2, [3])
        #expect(isPut)
        let sleeps = consumer.prepareToSleep()
        #expect(!sleeps)
        ring.tail = before
        #expect(throws: RingConsumer.Violation.self) { try consumer.next() }
    }

    @Test func messagesComeOutAsTheyWerePutIn() throws {
        let ring = try MessageRing(capacity: 4096)
        let doorbell = try EventFD()
        var producer = RingProducer(ring, doorbell: doorbell)
        var consumer = RingConsumer(ring, doorbell: doorbell)
        // Round and round, and of every length that leaves a rest.
        for number in 0..<300 {
            let payload = [UInt8](repeating: UInt8(number & 0xff), count: number)
            let isPut = producer.put(kind: UInt32(number), sequence: UInt64(number), payload)
            #expect(isPut)
            let sleeps = consumer.prepareToSleep()
            #expect(!sleeps)
            let message = try consumer.next()
            #expect(message?.kind == UInt32(number))
            #expect(message?.sequence == UInt64(number))
            #expect(message?.payload == payload)
        }
        let rest = try consumer.next()
        #expect(rest?.payload == nil)
        let sleeps = consumer.prepareToSleep()
        #expect(sleeps)
    }
}
