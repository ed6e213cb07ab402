import EchoDevice
import FakeDriver
import FakeGuest
import Linux
import Testing
import VFIOUserClient
import Virtio

/// Chains and their way through both kinds of ring. VIRTIO 1.2, sections 2.7 and 2.8.
@Suite struct QueueTests {
    @Test(arguments: RingKind.all, MemoryKind.allCases)
    func aChainIsReadAndWritten(kind: RingKind, memory: MemoryKind) throws {
        let (bench, queue) = try Bench.ready(kind, memory: memory)
        try bench.echo("What you say is what you get.", by: queue)
        #expect(try !bench.driver.needsReset)
    }

    @Test(arguments: RingKind.all)
    func theRingGoesRoundAndRound(kind: RingKind) throws {
        let (bench, queue) = try Bench.ready(kind, size: 4)
        for round in 0..<23 { try bench.echo("round \(round)", by: queue) }
    }

    @Test(arguments: RingKind.all)
    func theIndexesWrap(kind: RingKind) throws {
        let (bench, queue) = try Bench.ready(kind, size: 256)
        let source = bench.driver.allocate([7])
        for _ in 0..<(65_536 / 128 + 2) {
            for _ in 0..<128 { queue.add([.readable(source, 1)], isIndirect: false) }
            try bench.driver.notify(queue)
            try #require(try bench.collect(128, from: queue) == 128)
        }
        #expect(try !bench.driver.needsReset)
    }

    @Test(arguments: RingKind.all)
    func aPackedRingNeedsNoPowerOfTwo(kind: RingKind) throws {
        let (bench, queue) = try Bench.ready(kind, size: 5)
        guard kind.isPacked else {
            #expect(try bench.failure == .queueSize(5, maximum: 256))
            return
        }
        for round in 0..<13 { try bench.echo("round \(round)", by: queue) }
    }

    @Test(arguments: RingKind.all, [false, true])
    func piecesAreOneStream(kind: RingKind, isIndirect: Bool) throws {
        let (bench, queue) = try Bench.ready(kind)
        let driver = bench.driver
        let parts = ["one ", "", "two ", "three"].map { driver.allocate(Array($0.utf8)) }
        let targets = [driver.allocate(5), driver.allocate(7), driver.allocate(20)]
        let id = queue.add(
            [
                .readable(parts[0], 4), .readable(parts[1], 0), .readable(parts[2], 4), .readable(parts[3], 5),
                .writable(targets[0], 5), .writable(targets[1], 7), .writable(targets[2], 20),
            ], isIndirect: isIndirect)
        try driver.notify(queue)
        #expect(queue.takeUsed() == Used(id: id, count: 13))
        let got =
            driver.bytes(at: targets[0], count: 5) + driver.bytes(at: targets[1], count: 7)
            + driver.bytes(at: targets[2], count: 1)
        #expect(String(decoding: got, as: UTF8.self) == "one two three")
    }

    @Test(arguments: RingKind.all)
    func aTableMayBeLongerThanTheRing(kind: RingKind) throws {
        let (bench, queue) = try Bench.ready(kind, size: 2)
        let source = bench.driver.allocate(Array("x".utf8))
        let target = bench.driver.allocate(30)
        let id = queue.add(
            [Buffer](repeating: .readable(source, 1), count: 30) + [.writable(target, 30)], isIndirect: true)
        try bench.driver.notify(queue)
        #expect(queue.takeUsed() == Used(id: id, count: 30))
        #expect(bench.driver.bytes(at: target, count: 30) == Array(repeating: UInt8(ascii: "x"), count: 30))
    }

    @Test(arguments: RingKind.all)
    func noMoreIsWrittenThanThereIsRoomFor(kind: RingKind) throws {
        let (bench, queue) = try Bench.ready(kind)
        let source = bench.driver.allocate(Array("0123456789".utf8))
        let target = bench.driver.allocate(Array("----------".utf8))
        let id = queue.add(.readable(source, 10), .writable(target, 4))
        try bench.driver.notify(queue)
        #expect(queue.takeUsed() == Used(id: id, count: 4))
        #expect(bench.driver.bytes(at: target, count: 10) == Array("0123------".utf8))
    }

    @Test(arguments: RingKind.all)
    func chainsComeBackInAnyOrder(kind: RingKind) throws {
        let (bench, queue) = try Bench.ready(kind, queue: 1)
        let driver = bench.driver
        let targets = (0..<3).map { _ in driver.allocate(1) }
        let ids = (0..<3).map { number in
            queue.add(.readable(driver.allocate([UInt8(0xa0 + number)]), 1), .writable(targets[number], 1))
        }
        try driver.notify(queue)
        #expect(queue.takeUsed() == nil)
        for number in [2, 0, 1] {
            try driver.setDeviceConfiguration(EchoDevice.completion, .byte, UInt64(ids[number]))
            #expect(queue.takeUsed() == Used(id: ids[number], count: 1))
            #expect(driver.bytes(at: targets[number], count: 1) == [UInt8(0xa0 + number)])
        }
    }

    @Test(arguments: RingKind.all)
    func manyChainsAreTakenInSeveralTurns(kind: RingKind) throws {
        let (bench, queue) = try Bench.ready(kind, size: 256)
        let source = bench.driver.allocate([1])
        for _ in 0..<200 { queue.add(.readable(source, 1)) }
        try bench.driver.notify(queue)
        #expect(try bench.collect(200, from: queue) == 200)
        // 64 of them a turn.
        #expect(try bench.inside { $0.driver.calls[0] } == 4)
    }

    @Test(arguments: RingKind.all)
    func aRingCanBeUnmappedAndMappedAgain(kind: RingKind) throws {
        let (bench, queue) = try Bench.ready(kind)
        try bench.echo("before", by: queue)
        try bench.client.unmap(address: bench.ram.address, size: UInt64(Bench.ramSize))
        try bench.map()
        try bench.echo("after", by: queue)
    }

    @Test func aDoorbellNotifiesByEventFD() throws {
        let (bench, queue) = try Bench.ready(.split)
        let place = try bench.driver.doorbell(of: 0)
        let bells = try bench.client.doorbells(ofRegion: place.bar)
        let bell = try #require(bells.first { $0.entry.offset == place.offset && $0.entry.size == 2 })
        let target = bench.driver.allocate(1)
        let id = queue.add(.readable(bench.driver.allocate([9]), 1), .writable(target, 1))
        bell.eventFD.signal()
        // The device's thread takes the ring before it gets to the closure.
        _ = try bench.inside { _ in true }
        #expect(queue.takeUsed() == Used(id: id, count: 1))
    }

    // MARK: Notifications

    @Test(arguments: RingKind.all)
    func aDriverNeedsNotNotifyWhileChainsAreWaiting(kind: RingKind) throws {
        let (bench, queue) = try Bench.ready(kind, size: 16)
        let source = bench.driver.allocate([1])
        try bench.driver.setDeviceConfiguration(EchoDevice.action, .byte, UInt64(EchoDevice.Action.hesitate.rawValue))
        for _ in 0..<2 { queue.add(.readable(source, 1)) }
        #expect(queue.wantsNotification())
        try bench.driver.notify(queue)
        queue.add(.readable(source, 1))
        #expect(!queue.wantsNotification())
        try bench.driver.setDeviceConfiguration(EchoDevice.action, .byte, UInt64(EchoDevice.Action.goOn.rawValue))
        for _ in 0..<3 { #expect(queue.takeUsed() != nil) }
        queue.add(.readable(source, 1))
        #expect(queue.wantsNotification())
    }

    // MARK: Interrupts

    @Test(arguments: RingKind.all)
    func aQueueInterruptsByItsOwnVector(kind: RingKind) throws {
        let (bench, queue) = try Bench.ready(kind)
        let messages = try bench.useMessages()
        queue.wantInterrupt(after: 0)
        try bench.echo("hello", by: queue)
        #expect(messages.map { $0.consume() } == [0, 1, 0])
        #expect(try bench.driver.interruptStatus() == 0)
    }

    @Test(arguments: RingKind.all)
    func chainsOfOneTurnInterruptOnce(kind: RingKind) throws {
        let (bench, queue) = try Bench.ready(kind)
        let messages = try bench.useMessages()
        queue.wantInterrupt(after: 0)
        let source = bench.driver.allocate([1])
        for _ in 0..<5 { queue.add(.readable(source, 1)) }
        try bench.driver.notify(queue)
        #expect(messages.map { $0.consume() } == [0, 1, 0])
    }

    @Test(arguments: RingKind.all)
    func aDriverThatWantsNoInterruptsGetsNone(kind: RingKind) throws {
        let (bench, queue) = try Bench.ready(kind)
        let messages = try bench.useMessages()
        queue.wantNoInterrupts()
        try bench.echo("hello", by: queue)
        try bench.echo("hello", by: queue)
        #expect(messages.map { $0.consume() } == [0, 0, 0])
    }

    @Test(arguments: RingKind.all.filter(\.hasEventIndex))
    func anEventIndexPutsTheInterruptOff(kind: RingKind) throws {
        let (bench, queue) = try Bench.ready(kind, size: 16)
        let messages = try bench.useMessages()
        let source = bench.driver.allocate([1])
        for _ in 0..<5 {
            queue.wantInterrupt(after: 2)
            for expected: UInt64 in [0, 0, 1] {
                queue.add(.readable(source, 1))
                try bench.driver.notify(queue)
                #expect(messages[1].consume() == expected)
            }
            while queue.takeUsed() != nil {}
        }
    }

    @Test func aVectorOfNoneInterruptsNobody() throws {
        let (bench, queue) = try Bench.ready(.split)
        let messages = try bench.useMessages()
        try bench.driver.set(.queueSelect, 0)
        try bench.driver.set(.queueVector, 0xffff)
        try bench.echo("hello", by: queue)
        #expect(messages.map { $0.consume() } == [0, 0, 0])
    }

    @Test func withoutMessagesThePinTellsAndTheStatusSaysWhy() throws {
        let (bench, queue) = try Bench.ready(.split)
        let pin = try EventFD()
        try bench.client.setEventFDs([pin], kind: .intx)
        try bench.echo("hello", by: queue)
        #expect(pin.consume() == 1)
        #expect(try bench.driver.interruptStatus() == 1)
        #expect(try bench.driver.interruptStatus() == 0)
        try bench.client.act(.unmask, kind: .intx)
        #expect(pin.consume() == 0)
        try bench.driver.setDeviceConfiguration(EchoDevice.action, .byte, UInt64(EchoDevice.Action.change.rawValue))
        #expect(pin.consume() == 1)
        #expect(try bench.driver.interruptStatus() == 2)
    }
}
