import Device
import EchoDevice
import FakeDriver
import FakeGuest
import GuestMemory
import Linux
import Testing
import VFIOUserClient
import Virtio

/// What is due while the client is away, or has not mapped everything yet, waits for memory, and is no fault of the
/// driver's.
@Suite struct AbsenceTests {
    private typealias Echo = VirtioFunction<EchoDevice>
    private static let half = UInt64(Bench.ramSize / 2)

    /// Maps one half of the guest's memory: all that the driver allocates is in the first.
    private func map(half: UInt64, in bench: Bench) throws {
        let offset = half * Self.half
        try bench.client.map(
            address: Bench.ramAddress + offset, size: Self.half, file: bench.ram.file.descriptor, offset: offset)
    }

    /// A device that has nothing mapped and goes on from a state, and the driver that goes on with it.
    private func restored(_ state: [UInt8], after bench: Bench) throws -> Bench {
        let other = try Bench(ram: bench.ram) { try Echo(options: DeviceOptions(for: Echo.type), host: $0) }
        try other.client.unmapAll()
        try other.client.restore(state)
        bench.driver.registers = try other.client
        return other
    }

    /// Queue 1 with two chains that the device has, in memory of the second half, and where their answers are to be.
    private func twoKept(_ kind: RingKind) throws -> (Bench, any DriverQueue, ids: [UInt16], targets: [UInt64]) {
        let (bench, queue) = try Bench.ready(kind, queue: 1)
        var ids: [UInt16] = []
        var targets: [UInt64] = []
        for number in 0..<2 {
            let place = Bench.ramAddress + Self.half + UInt64(number) * 64
            bench.driver.store([UInt8(0xa0 + number), 7], at: place)
            targets.append(place + 32)
            ids.append(queue.add([.readable(place, 2), .writable(place + 32, 2)], isIndirect: number == 1))
        }
        try bench.driver.notify(queue)
        #expect(try bench.inside { $0.driver.keptIDs } == ids)
        return (bench, queue, ids, targets)
    }

    /// Has the device answer, by nothing that the driver did.
    private func complete(_ id: UInt16, in bench: Bench) throws {
        try bench.inside { $0.driver.writeConfiguration([UInt8(id)].span.bytes, at: Int(EchoDevice.completion)) }
    }

    private func expectNothing(_ queue: any DriverQueue, in bench: Bench) throws {
        // What the device's loop has to do comes before.
        #expect(try bench.inside { $0.failure } == nil)
        #expect(try bench.inside { $0.failure } == nil)
        #expect(queue.takeUsed() == nil)
    }

    private func expectAnswers(
        _ queue: any DriverQueue, _ ids: [UInt16], at targets: [UInt64], in bench: Bench
    ) throws {
        try #require(try bench.collectIDs(ids.count, from: queue) == ids)
        for (number, target) in targets.enumerated() {
            #expect(bench.driver.bytes(at: target, count: 2) == [UInt8(0xa0 + number), 7])
        }
        try expectNothing(queue, in: bench)
        #expect(try bench.inside { $0.driver.keptIDs } == [])
    }

    // MARK: Answers

    @Test(arguments: RingKind.all)
    func answersThatComeWhileNoClientIsThereAreGivenToTheNext(kind: RingKind) throws {
        let (bench, queue, ids, targets) = try twoKept(kind)
        try bench.leave()
        for id in ids { try complete(id, in: bench) }
        try expectNothing(queue, in: bench)
        try bench.comeBack()
        try expectNothing(queue, in: bench)
        try bench.map()
        try expectAnswers(queue, ids, at: targets, in: bench)
    }

    /// The ring is in the first half, the buffers are in the second.
    @Test(arguments: RingKind.all, [[0, 1], [1, 0]] as [[UInt64]])
    func anAnswerWaitsForAllOfItsMemory(kind: RingKind, order: [UInt64]) throws {
        let (bench, queue, ids, targets) = try twoKept(kind)
        try bench.leave()
        for id in ids { try complete(id, in: bench) }
        try bench.comeBack()
        try map(half: order[0], in: bench)
        try expectNothing(queue, in: bench)
        try map(half: order[1], in: bench)
        try expectAnswers(queue, ids, at: targets, in: bench)
    }

    @Test(arguments: RingKind.all)
    func answersThatWaitAreSaved(kind: RingKind) throws {
        let (bench, queue, ids, targets) = try twoKept(kind)
        try bench.leave()
        for id in ids { try complete(id, in: bench) }
        try bench.comeBack()
        let other = try restored(try bench.client.saveState(), after: bench)
        #expect(try other.inside { $0.driver.keptIDs } == [], "it is not asked again")
        try expectNothing(queue, in: other)
        try other.map()
        try expectAnswers(queue, ids, at: targets, in: other)
    }

    @Test(arguments: RingKind.all)
    func anAnswerWhileMemoryIsMappedAnewWaits(kind: RingKind) throws {
        let (bench, queue, ids, targets) = try twoKept(kind)
        try bench.client.unmapAll()
        try complete(ids[0], in: bench)
        try expectNothing(queue, in: bench)
        try bench.map()
        try complete(ids[1], in: bench)
        try expectAnswers(queue, ids, at: targets, in: bench)
    }

    // MARK: Requests

    @Test(arguments: RingKind.all, [[0, 1], [1, 0]] as [[UInt64]])
    func chainsInFlightAreTakenAgainWhenAllTheirMemoryIsThere(kind: RingKind, order: [UInt64]) throws {
        let (bench, queue, ids, targets) = try twoKept(kind)
        let other = try restored(try bench.client.saveState(), after: bench)
        for half in order {
            try expectNothing(queue, in: other)
            #expect(try other.inside { $0.driver.keptIDs } != ids)
            try map(half: half, in: other)
        }
        _ = try other.inside { _ in true }
        #expect(try other.inside { $0.driver.keptIDs } == ids)
        for id in ids { try complete(id, in: other) }
        try expectAnswers(queue, ids, at: targets, in: other)
    }

    /// The device has told the driver not to notify.
    @Test(arguments: RingKind.all)
    func theRestOfALongQueueIsServedWithoutANotification(kind: RingKind) throws {
        let bench = try Bench()
        let queue = try bench.start(kind, size: 256)
        let source = bench.driver.allocate([1])
        try bench.client.setMigrationState(.stop)
        for _ in 0..<200 { queue.add(.readable(source, 1)) }
        let other = try restored(try bench.client.saveState(), after: bench)
        try expectNothing(queue, in: other)
        try other.map()
        #expect(try other.collect(200, from: queue) == 200)
        try expectNothing(queue, in: other)
    }

    @Test(arguments: RingKind.all)
    func whatCameWhileNoClientWasThereIsServed(kind: RingKind) throws {
        let (bench, queue) = try Bench.ready(kind)
        try bench.leave()
        let id = queue.add(.readable(bench.driver.allocate([1]), 1))
        try bench.comeBack()
        try bench.map()
        #expect(try bench.collectIDs(1, from: queue) == [id])
    }

    // MARK: Interrupts

    @Test(arguments: RingKind.all)
    func theDriverHearsOfAnAnswerThatCameMeanwhile(kind: RingKind) throws {
        let (bench, queue, ids, targets) = try twoKept(kind)
        try bench.enableMSIX()
        _ = try bench.useMessages()
        try bench.leave()
        for id in ids { try complete(id, in: bench) }
        try bench.comeBack()
        try bench.map()
        try expectAnswers(queue, ids, at: targets, in: bench)
        let messages = try bench.useMessages()
        #expect(messages.map { $0.consume() } == [0, 0, 1])
        #expect(try bench.driver.interruptStatus() == 0)
    }

    // MARK: The driver's faults

    @Test(arguments: RingKind.all)
    func whatIsMissingWhenTheDriverActsIsItsFault(kind: RingKind) throws {
        let (bench, _, ids, _) = try twoKept(kind)
        try bench.client.unmap(address: Bench.ramAddress, size: UInt64(Bench.ramSize))
        try map(half: 0, in: bench)
        try complete(ids[0], in: bench)
        #expect(try bench.failure == nil)
        try bench.driver.notify(0)
        _ = try bench.inside { _ in true }
        #expect(try bench.failure == .memory(.notMapped(address: Bench.ramAddress + Self.half + 32)))
    }
}
