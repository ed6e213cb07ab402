import FakeGuest
import Linux
import PCI
import Testing
import VFIO

/// What a function that is no bus master, or is in D3hot, does not do. PCI Local Bus Specification 3.0, section 6.2.2;
/// PCI Bus Power Management Interface Specification 1.2, section 5.4.1
@Suite struct BusMasterTests {
    let bench: Bench
    let memory: GuestRAM

    init() throws {
        bench = try Bench(isBusMaster: false)
        memory = try GuestRAM(at: 0x10000, size: 4096)
        try bench.map(memory)
    }

    private func connect(_ kind: InterruptKind) throws -> EventFD {
        let event = try EventFD()
        let set = IRQSet(kind: kind, count: 1, data: .eventfd, action: .trigger)
        try bench.call(.deviceSetIRQs, wire(set.write), descriptors: [event.descriptor.raw])
        return event
    }

    /// 0: D0, 3: D3hot.
    private func setPowerState(_ state: UInt16) throws {
        try bench.write(state, region: 7, at: try bench.capability(0x01) + 4)
    }

    @Test func memoryIsReachedOnlyMeanwhile() throws {
        // The exerciser's word for memory that can't be reached.
        let unreachable: UInt32 = 5
        #expect(try bench.transfer(Bench.fill, to: 0x10000, length: 8) == unreachable, "off after power-on")
        #expect(memory.bytes(at: 0, count: 8) == [UInt8](repeating: 0, count: 8))
        try bench.write(UInt8(0x5a), at: 0x34)
        try bench.setBusMaster(true)
        #expect(try bench.transfer(Bench.fill, to: 0x10000, length: 4) == 0)
        try bench.setBusMaster(false)
        #expect(try bench.transfer(Bench.fill, to: 0x10000, length: 8) == unreachable)
        #expect(try bench.transfer(Bench.load, from: 0x10000, length: 8) == unreachable)
        #expect(memory.bytes(at: 0, count: 8) == [0x5a, 0x5a, 0x5a, 0x5a, 0, 0, 0, 0])
    }

    @Test func memoryWithoutAFileIsNotAskedForEither() throws {
        try bench.mapRemote(address: 0x20000, size: 4096)
        #expect(try bench.transfer(Bench.load, from: 0x20000, length: 8) == 5)
    }

    @Test(arguments: [InterruptKind.msi, .msix]) func aMessageWaitsForIt(_ kind: InterruptKind) throws {
        let event = try connect(kind)
        try bench.write(UInt32(0), at: 0x10)
        try bench.write(UInt32(0), at: 0x10)
        #expect(event.consume() == 0)
        #expect(try bench.read(UInt64.self, region: 4, at: 0x800) == 1, "MSI-X's pending bit")
        try bench.setBusMaster(true)
        #expect(event.consume() == 1)
        #expect(try bench.read(UInt64.self, region: 4, at: 0x800) == 0)
        try bench.write(UInt32(0), at: 0x10)
        #expect(event.consume() == 1)
    }

    @Test func thePinNeedsNone() throws {
        let event = try connect(.intx)
        try bench.write(UInt32(1), at: 0x14)
        #expect(event.consume() == 1)
    }

    @Test func asleepItReachesNoMemoryAndSendsNothing() throws {
        let event = try connect(.msix)
        try bench.setBusMaster(true)
        // What is due when it falls asleep.
        try bench.call(.deviceSetIRQs, wire(IRQSet(kind: .msix, count: 1, data: .none, action: .mask).write))
        try bench.write(UInt32(0), at: 0x10)
        try setPowerState(3)
        try bench.call(.deviceSetIRQs, wire(IRQSet(kind: .msix, count: 1, data: .none, action: .unmask).write))
        #expect(event.consume() == 0)
        #expect(memory.bytes(at: 0, count: 1) == [0])
    }

    @Test func asleepItAnswersConfigurationAccessesAlone() throws {
        let read = wire(UInt64(0), UInt32(0), UInt32(4))
        let mapped = wire(UInt64(4096), UInt32(2), UInt32(1 << 15))
        try setPowerState(3)
        try bench.expectRefusal(.ioError, of: .regionRead, read)
        try bench.expectRefusal(.ioError, of: .regionRead, mapped)
        try bench.expectRefusal(.ioError, of: .regionWrite, wire(UInt64(4), UInt32(0), UInt32(4), UInt32(1)))
        try setPowerState(0)
        #expect(try bench.read(UInt32.self, at: 0) == 0x0001_11e9)
        #expect(try bench.call(.regionRead, mapped).payload.count == 16 + 1 << 15)
    }

    @Test func asleepItHearsNoDoorbell() throws {
        let reply = try bench.call(.deviceGetRegionIOFDs, wire(UInt32(4096), UInt32(0), UInt32(0), UInt32(0)))
        let doorbell = try EventFD(adopting: try #require(reply.files.first).descriptor.duplicate())
        try setPowerState(3)
        doorbell.signal()
        // The loop has taken the ring by when it has nothing to do.
        while doorbell.wait(within: .zero) > 0 { _ = bench.device.onThread { _, server in server.hasClient } }
        try setPowerState(0)
        #expect(try bench.read(UInt32.self, at: 0x78) == 0)
    }

    @Test func asleepItsPinIsNotAsserted() throws {
        let event = try connect(.intx)
        try setPowerState(3)
        bench.device.onThread { function, _ in function.host.interrupts.setINTx(true) }
        #expect(event.consume() == 0)
    }

    @Test func whetherMemorySpaceIsDecodedIsTheClientsBusiness() throws {
        try bench.write(UInt16(0), region: 7, at: 4)
        try bench.write(UInt32(7), at: 4)
        #expect(try bench.read(UInt32.self, at: 4) == 7)
    }
}
