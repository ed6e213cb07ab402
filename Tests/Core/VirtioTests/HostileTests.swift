import EchoDevice
import FakeDriver
import FakeGuest
import GuestMemory
import Linux
import SeededRandom
import Testing
import VFIOUserClient
import Virtio

/// What no driver may do ends in DEVICE_NEEDS_RESET, and a reset ends that. VIRTIO 1.2, section 2.1.2.
@Suite struct HostileTests {
    private typealias Flag = DescriptorFlag
    private static let outside: UInt64 = 0x4000_0000

    /// Checks that the device has failed for a reason, moves nothing more, and works again after a reset.
    private func expectFailure(_ failure: VirtioFailure, _ bench: Bench, _ queue: any DriverQueue) throws {
        #expect(try bench.failure == failure)
        #expect(try bench.driver.needsReset)
        while queue.takeUsed() != nil {}
        queue.add(.readable(bench.driver.allocate([1]), 1))
        try bench.driver.notify(queue)
        #expect(queue.takeUsed() == nil)
        try bench.echo("recovered", by: bench.start(.split))
        #expect(try !bench.driver.needsReset)
    }

    private func split(size: Int = 8, queue: Int = 0) throws -> (Bench, SplitDriverQueue) {
        let (bench, queue) = try Bench.ready(.split, queue: queue, size: size)
        return (bench, try #require(queue as? SplitDriverQueue))
    }

    private func packed(size: Int = 8, queue: Int = 0) throws -> (Bench, PackedDriverQueue) {
        let (bench, queue) = try Bench.ready(.packed, queue: queue, size: size)
        return (bench, try #require(queue as? PackedDriverQueue))
    }

    // MARK: Setting up

    @Test(arguments: [0, 3, 512, 0xffff])
    func aSplitRingHasAPowerOfTwo(size: Int) throws {
        let bench = try Bench()
        #expect(try bench.driver.negotiate([.version1]))
        try bench.driver.set(.queueSize, UInt64(size))
        try bench.driver.set(.queueEnable, 1)
        #expect(try bench.failure == .queueSize(size, maximum: 256))
        #expect(try bench.driver[.queueEnable] == 0)
    }

    @Test(arguments: [0, 257, 0xffff])
    func aPackedRingHasASizeThatFits(size: Int) throws {
        let bench = try Bench()
        #expect(try bench.driver.negotiate([.version1, .packed]))
        try bench.driver.set(.queueSize, UInt64(size))
        try bench.driver.set(.queueEnable, 1)
        #expect(try bench.failure == .queueSize(size, maximum: 256))
    }

    @Test(
        arguments: [
            (.split, .queueDescriptors, 16), (.split, .queueDriver, 2), (.split, .queueDevice, 4),
            (.packed, .queueDescriptors, 16), (.packed, .queueDriver, 4), (.packed, .queueDevice, 4),
        ] as [(RingKind, VirtioDriver.Field, UInt64)])
    func areasAreAligned(kind: RingKind, field: VirtioDriver.Field, alignment: UInt64) throws {
        let bench = try Bench()
        #expect(try bench.driver.negotiate(kind.features))
        try bench.driver.set(.queueSelect, 0)
        try bench.driver.set(field, 0x10_0000 + alignment / 2)
        try bench.driver.set(.queueEnable, 1)
        #expect(try bench.failure == .misaligned(address: 0x10_0000 + alignment / 2, alignment: alignment))
    }

    @Test(
        arguments: [
            (.split, .queueDescriptors), (.split, .queueDriver), (.packed, .queueDescriptors),
        ] as [(RingKind, VirtioDriver.Field)], [outside, UInt64.max - 15])
    func aRingOutsideMemoryFailsWhenItIsUsed(
        _ ring: (kind: RingKind, field: VirtioDriver.Field), address: UInt64
    ) throws {
        let bench = try Bench()
        #expect(try bench.driver.negotiate(ring.kind.features))
        let queue =
            ring.kind.isPacked
            ? PackedDriverQueue(bench.driver, index: 0, size: 8) as any DriverQueue
            : SplitDriverQueue(bench.driver, index: 0, size: 8)
        queue.add(.readable(bench.driver.allocate([1]), 1))
        let (descriptors, driverArea) = (queue.descriptors, queue.driverArea)
        func set(_ descriptors: UInt64, _ driverArea: UInt64) {
            if let split = queue as? SplitDriverQueue {
                (split.descriptors, split.driverArea) = (descriptors, driverArea)
            }
            if let packed = queue as? PackedDriverQueue { packed.descriptors = descriptors }
        }
        set(ring.field == .queueDescriptors ? address : descriptors, ring.field == .queueDriver ? address : driverArea)
        try bench.driver.enable(queue)
        set(descriptors, driverArea)
        try bench.driver.setDriverOK()
        #expect(try !bench.driver.needsReset)
        try bench.driver.notify(queue)
        let isBeyond = address > bench.ram.address + (1 << 40)
        try expectFailure(
            .memory(
                isBeyond
                    ? .invalidRange(address: address, size: ring.field == .queueDescriptors ? 128 : 20)
                    : .notMapped(address: address)), bench, queue)
    }

    @Test func aRingThatMayNotBeWrittenFails() throws {
        let bench = try Bench()
        let readOnly: UInt64 = 0x80_0000
        try bench.client.map(address: readOnly, size: 4096, file: bench.ram.file.descriptor, flags: [.read])
        #expect(try bench.driver.negotiate([.version1]))
        let queue = SplitDriverQueue(bench.driver, index: 0, size: 8)
        let deviceArea = queue.deviceArea
        queue.deviceArea = readOnly
        try bench.driver.enable(queue)
        queue.deviceArea = deviceArea
        try bench.driver.setDriverOK()
        queue.add(.readable(bench.driver.allocate([1]), 1))
        try bench.driver.notify(queue)
        try expectFailure(.memory(.denied(address: readOnly, access: .write)), bench, queue)
    }

    // MARK: Split rings

    @Test(arguments: [9, 100, 0x8000, 0xffff])
    func theAvailableIndexMustNotJump(ahead: UInt16) throws {
        let (bench, queue) = try split()
        queue.setAvailable(ahead)
        try bench.driver.notify(queue)
        try expectFailure(.availableIndex(ahead: Int(ahead), size: 8), bench, queue)
    }

    @Test(arguments: [8, 0x7fff, 0xffff])
    func aHeadIsInsideTheTable(head: UInt16) throws {
        let (bench, queue) = try split()
        queue.addHead(head)
        try bench.driver.notify(queue)
        try expectFailure(.descriptorIndex(Int(head), count: 8), bench, queue)
    }

    @Test func theNextDescriptorIsInsideTheTable() throws {
        let (bench, queue) = try split()
        queue.setDescriptor(0, address: bench.ram.address, count: 1, flags: Flag.next, next: 8)
        queue.addHead(0)
        try bench.driver.notify(queue)
        try expectFailure(.descriptorIndex(8, count: 8), bench, queue)
    }

    @Test(arguments: [[0], [1, 0], [1, 2, 3, 4, 5, 6, 7, 0]])
    func aLoopEnds(next: [UInt16]) throws {
        let (bench, queue) = try split()
        for (place, next) in next.enumerated() {
            queue.setDescriptor(place, address: bench.ram.address, count: 1, flags: Flag.next, next: next)
        }
        queue.addHead(0)
        try bench.driver.notify(queue)
        try expectFailure(.chainTooLong(maximum: 8), bench, queue)
    }

    @Test func aHeadComesOnceAtATime() throws {
        let (bench, queue) = try split(queue: 1)
        queue.setDescriptor(3, address: bench.ram.address, count: 1, flags: 0)
        queue.addHead(3)
        queue.addHead(3)
        try bench.driver.notify(queue)
        try expectFailure(.alreadyInFlight(3), bench, queue)
    }

    @Test func chainsInFlightHaveNoMoreDescriptorsThanTheTable() throws {
        let (bench, queue) = try split(queue: 1)
        for place in 0..<8 {
            queue.setDescriptor(
                place, address: bench.ram.address, count: 1, flags: place == 7 ? 0 : Flag.next, next: UInt16(place + 1))
        }
        queue.addHead(0)
        queue.addHead(5)
        try bench.driver.notify(queue)
        try expectFailure(.tooManyInFlight(maximum: 8), bench, queue)
    }

    // MARK: Packed rings

    @Test func aPackedChainIsAvailableToItsEnd() throws {
        let (bench, queue) = try packed()
        let first = queue.nextDescriptor(address: bench.ram.address, count: 1, id: 0, flags: Flag.next)
        bench.driver.store(wire(first.flags), at: first.address + 14)
        try bench.driver.notify(queue)
        try expectFailure(.descriptorNotAvailable(1), bench, queue)
    }

    @Test func aPackedChainEndsBeforeItsBeginning() throws {
        let (bench, queue) = try packed()
        queue.addDescriptors((0..<8).map { _ in (bench.ram.address, 1, 0, Flag.next) })
        try bench.driver.notify(queue)
        try expectFailure(.chainTooLong(maximum: 8), bench, queue)
    }

    @Test func aBufferIDComesOnceAtATime() throws {
        let (bench, queue) = try packed(queue: 1)
        queue.addDescriptors([(bench.ram.address, 1, 0xabcd, 0)])
        queue.addDescriptors([(bench.ram.address, 1, 0xabcd, 0)])
        try bench.driver.notify(queue)
        try expectFailure(.alreadyInFlight(0xabcd), bench, queue)
    }

    // MARK: Chains

    /// Adds a descriptor that stands alone, whatever the ring.
    private func add(_ queue: any DriverQueue, address: UInt64, count: UInt32, flags: UInt16) throws {
        if let queue = queue as? SplitDriverQueue {
            queue.setDescriptor(0, address: address, count: count, flags: flags)
            queue.addHead(0)
        } else {
            try #require(queue as? PackedDriverQueue).addDescriptors([(address, count, 0, flags)])
        }
    }

    private func table(_ bench: Bench, _ entries: [(count: UInt32, third: UInt16, fourth: UInt16)]) -> UInt64 {
        bench.driver.allocate(entries.flatMap { wire(bench.ram.address, $0.count, $0.third, $0.fourth) })
    }

    @Test(arguments: RingKind.all, [false, true])
    func readablePiecesComeFirst(kind: RingKind, isIndirect: Bool) throws {
        let (bench, queue) = try Bench.ready(kind)
        queue.add([.writable(bench.ram.address, 1), .readable(bench.ram.address, 1)], isIndirect: isIndirect)
        try bench.driver.notify(queue)
        try expectFailure(.readableAfterWritable, bench, queue)
    }

    @Test(arguments: RingKind.all, [false, true])
    func aBufferIsInsideMemory(kind: RingKind, isWritable: Bool) throws {
        let (bench, queue) = try Bench.ready(kind)
        let source = bench.driver.allocate([1, 2])
        queue.add(
            isWritable
                ? [.readable(source, 2), .writable(Self.outside, 2)]
                : [.readable(Self.outside, 2), .writable(source, 2)], isIndirect: false)
        try bench.driver.notify(queue)
        try expectFailure(.memory(.notMapped(address: Self.outside)), bench, queue)
    }

    @Test(arguments: RingKind.all)
    func aBufferEndsBeforeTheLastAddress(kind: RingKind) throws {
        let (bench, queue) = try Bench.ready(kind)
        queue.add(.readable(.max, 16), .writable(bench.driver.allocate(16), 16))
        try bench.driver.notify(queue)
        try expectFailure(.memory(.invalidRange(address: .max, size: 16)), bench, queue)
    }

    @Test(arguments: RingKind.all)
    func aChainHasAtMostFourGigabytes(kind: RingKind) throws {
        let (bench, queue) = try Bench.ready(kind)
        queue.add(.readable(0, Int(UInt32.max)), .readable(0, 1), .writable(0, 1))
        try bench.driver.notify(queue)
        try expectFailure(.chainTooLarge(1 << 32 + 1), bench, queue)
    }

    @Test(arguments: [RingKind.split, .packed], [0, 1, 15, 17, UInt32.max])
    func aTableHasWholeDescriptors(kind: RingKind, length: UInt32) throws {
        let (bench, queue) = try Bench.ready(kind)
        try add(queue, address: bench.ram.address, count: length, flags: Flag.indirect)
        try bench.driver.notify(queue)
        try expectFailure(.indirectLength(length), bench, queue)
    }

    @Test(arguments: [RingKind.split, .packed])
    func aTableIsInsideMemory(kind: RingKind) throws {
        let (bench, queue) = try Bench.ready(kind)
        try add(queue, address: Self.outside, count: 32, flags: Flag.indirect)
        try bench.driver.notify(queue)
        try expectFailure(.memory(.notMapped(address: Self.outside)), bench, queue)
    }

    @Test(arguments: [RingKind.split, .packed])
    func aTableHasNoTables(kind: RingKind) throws {
        let (bench, queue) = try Bench.ready(kind)
        let entry = kind.isPacked ? (UInt32(16), UInt16(0), Flag.indirect) : (16, Flag.indirect, 0)
        try add(queue, address: table(bench, [entry]), count: 16, flags: Flag.indirect)
        try bench.driver.notify(queue)
        try expectFailure(.indirectNested, bench, queue)
    }

    @Test(arguments: [RingKind.split, .packed])
    func nothingFollowsATable(kind: RingKind) throws {
        let (bench, queue) = try Bench.ready(kind)
        let table = table(bench, [(1, 0, 0)])
        if let queue = queue as? SplitDriverQueue {
            queue.setDescriptor(0, address: table, count: 16, flags: Flag.indirect | Flag.next, next: 1)
            queue.setDescriptor(1, address: bench.ram.address, count: 1, flags: 0)
            queue.addHead(0)
        } else {
            try #require(queue as? PackedDriverQueue).addDescriptors([
                (table, 16, 0, Flag.indirect | Flag.next), (bench.ram.address, 1, 0, 0),
            ])
        }
        try bench.driver.notify(queue)
        try expectFailure(.indirectChained, bench, queue)
    }

    @Test(arguments: [RingKind.split, .packed])
    func tablesMustBeAgreedOn(kind: RingKind) throws {
        let bench = try Bench()
        #expect(try bench.driver.negotiate(kind.features.subtracting(.indirect)))
        let queue = try bench.driver.queue(0)
        try bench.driver.setDriverOK()
        try add(queue, address: table(bench, [(1, 0, 0)]), count: 16, flags: Flag.indirect)
        try bench.driver.notify(queue)
        try expectFailure(.indirectNotNegotiated, bench, queue)
    }

    @Test func aTableOfASplitRingIsNotLeft() throws {
        let (bench, queue) = try split()
        try add(queue, address: table(bench, [(1, Flag.next, 2), (1, 0, 0)]), count: 32, flags: Flag.indirect)
        try bench.driver.notify(queue)
        try expectFailure(.descriptorIndex(2, count: 2), bench, queue)
    }

    @Test func aLoopInATableEnds() throws {
        let (bench, queue) = try split()
        try add(queue, address: table(bench, [(1, Flag.next, 1), (1, Flag.next, 0)]), count: 32, flags: Flag.indirect)
        try bench.driver.notify(queue)
        try expectFailure(.chainTooLong(maximum: 256), bench, queue)
    }

    @Test(arguments: [RingKind.split, .packed])
    func aTableHasNoMoreSegmentsThanTheLargestQueue(kind: RingKind) throws {
        let (bench, queue) = try Bench.ready(kind)
        queue.add([Buffer](repeating: .readable(bench.ram.address, 1), count: 257), isIndirect: true)
        try bench.driver.notify(queue)
        try expectFailure(.chainTooLong(maximum: 256), bench, queue)
    }

    // MARK: Anything

    /// Rings full of random bytes, changed at random while the device works through them: it may fail, and never
    /// further.
    @Test(arguments: RingKind.all, 0..<8)
    func randomRingsDoNoHarm(kind: RingKind, seed: UInt64) throws {
        var random = SplitMix(seed: seed)
        let bench = try Bench()
        for _ in 0..<40 {
            let queue = try bench.start(kind, queue: Int.random(in: 0...1, using: &random))
            for _ in 0..<Int.random(in: 1...12, using: &random) {
                let buffers = (0..<Int.random(in: 1...4, using: &random)).map { _ in
                    Buffer(
                        address: bench.ram.address &+ UInt64.random(in: 0..<(1 << 21), using: &random),
                        count: UInt32.random(in: 0..<5000, using: &random), isWritable: Bool.random(using: &random))
                }
                queue.add(buffers, isIndirect: Bool.random(using: &random))
                for _ in 0..<Int.random(in: 0...3, using: &random) {
                    let areas = [(queue.descriptors, 128), (queue.driverArea, 22), (queue.deviceArea, 4)]
                    let (area, count) = areas[Int.random(in: 0..<(kind.isPacked ? 3 : 2), using: &random)]
                    let place = area + UInt64.random(in: 0..<UInt64(count), using: &random)
                    bench.driver.store([UInt8.random(in: 0...255, using: &random)], at: place)
                }
                try bench.driver.notify(queue)
                try bench.driver.setDeviceConfiguration(
                    EchoDevice.completion, .byte, UInt64.random(in: 0..<8, using: &random))
            }
            try bench.driver.reset()
        }
        try bench.echo("unharmed", by: bench.start(kind))
    }
}
