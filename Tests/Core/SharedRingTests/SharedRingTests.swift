import Linux
import SharedRing
import Testing

/// A ring between two sides that need not trust each other.
@Suite struct SharedRingTests {
    private static let capacity: UInt32 = 16

    private let ring: SharedRing
    private let producer: ProducerCursor
    private let consumer: ConsumerCursor

    init() throws {
        ring = try SharedRing(name: "test", size: 4096)
        producer = ProducerCursor(ring, capacity: Self.capacity)
        consumer = ConsumerCursor(ring, capacity: Self.capacity)
    }

    // MARK: Positions

    @Test func theProducerHasAsMuchRoomAsTheConsumerLeaves() throws {
        var (producer, consumer) = (producer, consumer)
        #expect(try producer.hasRoom(for: Self.capacity))
        #expect(try !producer.hasRoom(for: Self.capacity + 1))
        producer.put(10)
        #expect(try !producer.hasRoom(for: 7))
        #expect(try consumer.waiting() == 10)
        consumer.take(3)
        #expect(try producer.hasRoom(for: 9))
        #expect(try !producer.hasRoom(for: 10))
        #expect(try producer.isTaken(2))
        #expect(try !producer.isTaken(3))
    }

    @Test func positionsGoOnBeyondTheirLargestNumber() throws {
        let capacity: UInt32 = 1 << 31
        var producer = ProducerCursor(ring, capacity: capacity)
        var consumer = ConsumerCursor(ring, capacity: capacity)
        for _ in 0..<5 {
            #expect(try producer.hasRoom(for: capacity))
            producer.put(capacity)
            #expect(try !producer.hasRoom(for: 1))
            #expect(try consumer.waiting() == capacity)
            let last = producer.tail &- 1
            #expect(try !producer.isTaken(last))
            consumer.take(capacity)
            #expect(try producer.isTaken(last))
            #expect(try consumer.waiting() == 0)
        }
    }

    @Test(arguments: [17, 0x8000_0000, 0xffff_ffff] as [UInt32])
    func moreThanTheRingHoldsCanNotWait(tail: UInt32) throws {
        var consumer = consumer
        ring.release(.tail, tail)
        #expect(throws: RingViolation.self) { try consumer.waiting() }
    }

    @Test func whatWasSeenCanNotBeTakenBack() throws {
        var (producer, consumer) = (producer, consumer)
        producer.put(3)
        #expect(try consumer.waiting() == 3)
        ring.release(.tail, 2)
        #expect(throws: RingViolation.self) { try consumer.waiting() }
    }

    @Test(arguments: [4, 17, 0xffff_ffff] as [UInt32])
    func whatWasNeverPutInCanNotBeTakenOut(head: UInt32) throws {
        var producer = producer
        producer.put(3)
        ring.release(.head, head)
        #expect(throws: RingViolation.self) { try producer.isTaken(0) }
        #expect(throws: RingViolation.self) { try producer.hasRoom(for: Self.capacity) }
    }

    @Test func whatWasTakenOutCanNotBePutBack() throws {
        var producer = producer
        producer.put(3)
        ring.release(.head, 2)
        #expect(try producer.isTaken(1))
        ring.release(.head, 1)
        #expect(throws: RingViolation.self) { try producer.isTaken(2) }
    }

    @Test func memoryThatIsTooShortIsNoRing() throws {
        let file = try MemoryFile(name: "test", size: SharedRing.contentsOffset)
        #expect(throws: Errno.invalidArgument) {
            try SharedRing(adopting: file.descriptor.duplicate(), size: 4096)
        }
    }

    // MARK: Sleep

    @Test func onlyWhoSleepsIsRungAndOnce() throws {
        let doorbell = RingDoorbell(.consumerAsleep, of: ring, event: try EventFD())
        doorbell.ring()
        #expect(doorbell.event.consume() == 0)
        #expect(doorbell.prepareToSleep { false })
        doorbell.ring()
        doorbell.ring()
        #expect(doorbell.event.consume() == 1)
        #expect(doorbell.prepareToSleep { false })
        doorbell.wakeUp()
        doorbell.ring()
        #expect(doorbell.event.consume() == 0)
    }

    @Test func nobodySleepsForWhatIsThere() throws {
        let doorbell = RingDoorbell(.producerAsleep, of: ring, event: try EventFD())
        let hasSlept = doorbell.sleep(unless: { true }) { Issue.record("It has slept.") }
        #expect(!hasSlept)
        doorbell.ring()
        #expect(doorbell.event.consume() == 0)
    }

    @Test func whoLooksInVainForANonsensicalPositionIsAwake() throws {
        let doorbell = RingDoorbell(.consumerAsleep, of: ring, event: try EventFD())
        var consumer = consumer
        ring.release(.tail, 1000)
        #expect(throws: RingViolation.self) {
            try doorbell.prepareToSleep { () throws(RingViolation) in try consumer.waiting() > 0 }
        }
        doorbell.ring()
        #expect(doorbell.event.consume() == 0)
    }

    @Test func sidesThatSleepWakeEachOtherAndKeepTheOrder() throws {
        let count: UInt32 = 20_000
        let ring = ring
        let toConsumer = RingDoorbell(.consumerAsleep, of: ring, event: try EventFD())
        let toProducer = RingDoorbell(.producerAsleep, of: ring, event: try EventFD())
        let slot: @Sendable (UInt32) -> Int = { SharedRing.contentsOffset + Int($0 % Self.capacity) * 8 }
        let thread = try Thread(name: "producer") {
            var producer = ProducerCursor(ring, capacity: Self.capacity)
            for number in 0..<count {
                while (try? producer.hasRoom(for: 1)) == false {
                    let slept = try? toProducer.sleep(unless: { try producer.hasRoom(for: 1) }) {
                        if toProducer.event.wait(within: .seconds(60)) == 0 { throw Errno.timedOut }
                    }
                    if slept == nil { return }
                }
                ring.file.publish(UInt64(number), at: slot(producer.tail))
                producer.put(1)
                toConsumer.ring()
            }
        }
        var consumer = consumer
        for number in 0..<count {
            while try consumer.waiting() == 0 {
                _ = try toConsumer.sleep(unless: { try consumer.waiting() > 0 }) {
                    try #require(toConsumer.event.wait(within: .seconds(60)) > 0, "Nobody rang.")
                }
            }
            guard ring.file.number(at: slot(consumer.head)) == UInt64(number) else {
                Issue.record("\(number) came out of order.")
                break
            }
            consumer.take(1)
            toProducer.ring()
        }
        thread.join()
    }
}
