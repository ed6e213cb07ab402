import Device
import DeviceCatalog
import FakeGuest
import KVM
import Linux
import Synchronization
import Tap
import Testing
import VFIOUserClient

/// Counts how often a function's doorbells were rung.
private final class RingCounter: Tap, Sendable {
    let rings = Mutex<UInt64>(0)
    /// Signalled when as many have come as were expected.
    let all: EventFD
    private let expected: UInt64

    init(expected: UInt64) throws {
        self.expected = expected
        all = try EventFD()
    }

    func note(_ passage: Passage, _ bytes: RawSpan) {
        guard case .doorbell(_, _, let times) = passage else { return }
        let sum = rings.withLock { rings in
            rings += times
            return rings
        }
        if sum == expected { all.signal() }
    }
}

/// Devices in real KVM guests: small programs in real mode. Without KVM these tests are skipped.
@Suite(.enabled(if: VirtualMachine.isAvailable, "There is no usable /dev/kvm."), .serialized)
struct KVMTests {
    private static let results = 0x8000

    @Test(arguments: Way.allCases) func registersOfEveryWidthAndSpaceAreReached(way: Way) throws {
        let (machine, status) = try Guests.run("registers", way)
        #expect(status == 1)
        #expect(machine.number(UInt32.self, at: Self.results) == 0x0001_11e9)
        #expect(machine.number(UInt32.self, at: Self.results + 4) == 0x1122_ff44)
        #expect(machine.number(UInt16.self, at: Self.results + 8) == 0x1122)
        #expect(machine.number(UInt32.self, at: Self.results + 12) == 0x0001_11e9)
        #expect(machine.number(UInt32.self, at: Self.results + 16) == 0x5566_7788)
        #expect(machine.counters.memoryReads == 4)
        #expect(machine.counters.memoryWrites == 2)
    }

    @Test(arguments: Way.allCases) func aGuestFindsAndSizesTheDevice(way: Way) throws {
        let (machine, status) = try Guests.run("configuration", way)
        #expect(status == 2)
        for slot in 0..<32 {
            #expect(machine.number(UInt32.self, at: Self.results + 4 * slot) == (slot == 1 ? 0x11e9_1234 : .max))
        }
        #expect(machine.number(UInt32.self, at: Self.results + 128) == 0xffff_f000)
        #expect(machine.number(UInt8.self, at: Self.results + 132) == 0)
        #expect(machine.number(UInt8.self, at: Self.results + 133) == 10)
    }

    @Test(arguments: Way.allCases) func mappedMemoryCostsNoExit(way: Way) throws {
        let (machine, status) = try Guests.run("buffer", way)
        #expect(status == 3)
        let sum = stride(from: UInt16(4096), to: 8192, by: 2).reduce(0, &+)
        #expect(machine.number(UInt16.self, at: Self.results) == sum)
        #expect(machine.counters.memory == 0)
    }

    @Test func aDoorbellCostsNoExitAndNoRingIsLost() throws {
        let device = try ServedDevice("exerciser")
        let machine = try Machine(memorySize: Guests.memorySize)
        try machine.attach(Client(path: device.path), slot: 1)
        try machine.load(Guests.image("doorbell"))
        #expect(try machine.run(within: Guests.patience) == 4)
        #expect(machine.counters.memory == 0)
        // The last rings may still be on their way: what the eventfd holds, the device's loop takes at one of its next
        // turns.
        var rings: UInt64 = 0
        for _ in 0..<1000 where rings < 1000 {
            rings = device.onThread { _, server in server.statistics.doorbells }
        }
        #expect(rings == 1000)
    }

    @Test func ringsOfADeviceInProcessCostNoExitEither() throws {
        let machine = try Machine(memorySize: Guests.memorySize)
        let counter = try RingCounter(expected: 1000)
        try machine.attach(slot: 1) { host in
            host.tap = counter
            return try Function(DeviceCatalog.make("exerciser", options: [], host: host), host: host)
        }
        try machine.load(Guests.image("doorbell"))
        #expect(try machine.run(within: Guests.patience) == 4)
        #expect(machine.counters.memory == 0)
        // The last rings may still be on their way.
        #expect(counter.all.wait(within: Guests.patience) > 0)
        #expect(counter.rings.withLock { $0 } == 1000)
    }

    @Test(arguments: Way.allCases) func sharedRegistersAreReadWithNoExit(way: Way) throws {
        let (machine, status) = try Guests.run("shared", way)
        #expect(status == 11)
        #expect(machine.number(UInt32.self, at: Self.results) == 0)
        #expect(machine.number(UInt32.self, at: Self.results + 4) == 1)
        // The write exits, and changes nothing.
        #expect(machine.number(UInt32.self, at: Self.results + 8) == 1)
        #expect(machine.counters.memoryReads == 0)
        #expect(machine.counters.memoryWrites == 1)
    }

    @Test(arguments: Way.allCases) func everyLevelTriggeredInterruptIsTakenAndEnded(way: Way) throws {
        let (machine, status) = try Guests.run("interrupts", way)
        #expect(status == 5)
        #expect(machine.number(UInt16.self, at: Self.results) == 100)
    }

    @Test(arguments: Way.allCases) func messagesOfMSIXArrive(way: Way) throws {
        let (machine, status) = try Guests.run("msix", way)
        #expect(status == 6)
        #expect(machine.number(UInt16.self, at: Self.results) == 10)
    }

    @Test(arguments: Way.allCases) func messagesOfMSIArrive(way: Way) throws {
        let (machine, status) = try Guests.run("msi", way)
        #expect(status == 6)
        #expect(machine.number(UInt16.self, at: Self.results) == 10)
    }

    @Test func writesToPortsAndMemorySignalWhatTheyMatch() throws {
        let machine = try Machine(memorySize: Guests.memorySize)
        let events = try (0..<5).map { _ in try EventFD() }
        let parts = machine.virtualMachine
        let held = [
            try parts.event(onWriteAt: 0x500, width: 1, in: .io, events[0]),
            try parts.event(onWriteAt: 0x600, width: 2, match: 0x1234, in: .io, events[1]),
            try parts.event(onWriteAt: 0xd0010, width: 4, match: 7, events[2]),
            try parts.event(onWriteAt: 0xd0010, width: 4, match: 8, events[3]),
            try parts.event(onWriteAt: 0xd0020, width: 0, events[4]),
        ]
        try machine.load(Guests.image("ports"))
        #expect(try machine.run(within: Guests.patience) == 12)
        #expect(events.map { $0.consume() } == [2, 1, 1, 1, 2])
        #expect(machine.counters.memory == 0)
        // The word that matched nothing, and the end.
        #expect(machine.counters.portWrites == 2)
        withExtendedLifetime(held) {}
    }

    @Test func theSameEventTwiceAndNoWholePagesAreRefused() throws {
        let whole = try Machine(memorySize: Guests.memorySize)
        let machine = whole.virtualMachine
        let event = try EventFD()
        let first = try machine.event(onWriteAt: 0xd0000, width: 4, event)
        #expect(throws: KVMError("KVM_IOEVENTFD", .fileExists)) {
            _ = try machine.event(onWriteAt: 0xd0000, width: 4, event)
        }
        #expect(throws: KVMError("KVM_IOEVENTFD", .invalidArgument)) {
            _ = try machine.event(onWriteAt: 0xd0000, width: 3, event)
        }
        let memory = try MemoryFile(name: "slot", size: 8192)
        #expect(throws: KVMError("KVM_SET_USER_MEMORY_REGION", .invalidArgument)) {
            _ = try machine.map(memory.mapping, 0..<100, at: 0xe0000)
        }
        #expect(throws: KVMError("KVM_SET_USER_MEMORY_REGION", .fileExists)) {
            _ = try machine.map(memory.mapping, 0..<8192, at: 0x1000)
        }
        withExtendedLifetime((first, whole)) {}
    }

    @Test(arguments: Way.allCases) func theDeviceReachesTheGuestsMemory(way: Way) throws {
        let (machine, status) = try Guests.run("dma", way)
        #expect(status == 7)
        #expect(machine.number(UInt32.self, at: Self.results) == 0)
        #expect(machine.number(UInt16.self, at: Self.results + 4) == 0xa5a5)
    }

    @Test func theLogNamesThePagesThatTheGuestWrote() throws {
        let machine = try Machine(memorySize: Guests.memorySize, isLogged: true)
        try machine.load(Guests.image("pages"))
        _ = try machine.takeDirtyPages()
        #expect(try machine.run(within: Guests.patience) == 8)
        let bitmap = try machine.takeDirtyPages()
        let dirty = (0..<128).filter { bitmap[$0 / 64] >> ($0 % 64) & 1 != 0 }
        #expect(dirty.contains(0xb) && dirty.contains(0x30))
        #expect(!dirty.contains(0x20))
        #expect(try machine.takeDirtyPages().allSatisfy { $0 == 0 })
    }

    @Test func aServerThatLeavesLooksLikeADeviceThatWasPulledOut() throws {
        let device = try ServedDevice("exerciser")
        let machine = try Machine(memorySize: Guests.memorySize) { byte in
            if byte == UInt8(ascii: "!") { device.stop() }
        }
        try machine.attach(Client(path: device.path), slot: 1)
        try machine.load(Guests.image("unplugged"))
        #expect(try machine.run(within: Guests.patience) == 9)
        #expect(machine.number(UInt32.self, at: Self.results) == 0x0001_11e9)
    }

    @Test(arguments: Way.allCases) func aBARAnswersWhereTheGuestPutsItAndNowhereElse(way: Way) throws {
        let (machine, status) = try Guests.run("moved", way)
        #expect(status == 10)
        #expect(machine.number(UInt32.self, at: Self.results) == .max)
        #expect(machine.number(UInt32.self, at: Self.results + 4) == 0x0001_11e9)
        #expect(machine.number(UInt32.self, at: Self.results + 8) == .max)
    }

    @Test func aMachineThatRunsForEverIsStopped() throws {
        let machine = try Machine(memorySize: Guests.memorySize)
        // jmp to itself
        try machine.load([0xeb, 0xfe])
        machine.stop()
        #expect(try machine.run() == nil)
    }

    @Test func whatDoesNotFitIsRefused() throws {
        #expect(throws: KVMError.self) { try Machine(memorySize: 4096) }
        let machine = try Machine(memorySize: 64 << 10)
        #expect(throws: KVMError.self) { try machine.load([UInt8](repeating: 0, count: 64 << 10)) }
        let device = try ServedDevice("exerciser")
        #expect(throws: KVMError.self) { try machine.attach(Client(path: device.path), slot: 32) }
        #expect(try machine.attachExerciser(.process) == nil)
        #expect(throws: KVMError("a second device in slot 1", .fileExists)) { try machine.attachExerciser(.process) }
    }
}
