import FakeGuest
import Linux
import Testing
import VFIO

/// VFIO_USER_DEVICE_RESET
@Suite struct DeviceResetTests {
    @Test func registersAndConfigurationAreThoseOfPowerOn() throws {
        let bench = try Bench()
        try bench.write(UInt32(1), at: 4)
        try bench.write(UInt16(7), region: 7, at: 4)
        #expect(try bench.call(.deviceReset).payload.isEmpty)
        #expect(try bench.read(UInt32.self, at: 4) == 0)
        #expect(try bench.read(UInt16.self, region: 7, at: 4) == 0)
    }

    /// PCI Bus Power Management Interface Specification 1.2, section 5.4.1.
    @Test func comingBackFromD3hotIsAReset() throws {
        let bench = try Bench()
        let control: UInt64 = 0x44
        try bench.write(UInt32(1), at: 4)
        try bench.write(UInt16(7), region: 7, at: 4)
        try bench.write(UInt16(0), region: 7, at: control)
        #expect(try bench.read(UInt32.self, at: 4) == 1, "it was in D0 already")
        try bench.write(UInt16(3), region: 7, at: control)
        #expect(try bench.read(UInt16.self, region: 7, at: control) == 3)
        try bench.write(UInt16(0), region: 7, at: control)
        #expect(try bench.read(UInt16.self, region: 7, at: control) == 0)
        #expect(try bench.read(UInt32.self, at: 4) == 0)
        #expect(try bench.read(UInt16.self, region: 7, at: 4) == 0)
    }

    @Test func memoryMapsAndInterruptsStay() throws {
        let bench = try Bench()
        let memory = try GuestRAM(at: 0, size: 4096)
        try bench.map(memory)
        let event = try EventFD()
        let set = IRQSet(kind: .msix, count: 1, data: .eventfd, action: .trigger)
        try bench.call(.deviceSetIRQs, wire(set.write), descriptors: [event.descriptor.raw])
        try bench.call(.deviceReset)
        try bench.setBusMaster(true)
        #expect(try bench.transfer(Bench.fill, to: 0, length: 1) == 0)
        try bench.write(UInt32(0), at: 0x10)
        #expect(event.consume() == 1)
    }

    @Test func aPayloadIsInvalid() throws {
        let bench = try Bench()
        try bench.write(UInt32(1), at: 4)
        try bench.expectRefusal(.invalidArgument, of: .deviceReset, [0])
        #expect(try bench.read(UInt32.self, at: 4) == 1)
        try bench.post(.deviceReset)
        #expect(try bench.read(UInt32.self, at: 4) == 0)
    }
}
