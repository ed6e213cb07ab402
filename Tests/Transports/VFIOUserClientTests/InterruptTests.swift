import FakeGuest
import Linux
import PCI
import Testing
import VFIO
import VFIOUserClient

/// VFIO_USER_DEVICE_SET_IRQS
@Suite struct InterruptTests {
    private let device: ServedDevice
    private let client: Client

    init() throws {
        device = try ServedDevice("exerciser")
        client = try device.client()
    }

    private func eventFDs(_ count: Int) throws -> [EventFD] {
        try (0..<count).map { _ in try EventFD() }
    }

    private func raise(_ vector: UInt32) throws {
        try client.write(vector, region: 0, offset: 0x10)
    }

    /// Sets or clears the cause by which the exerciser asserts its pin.
    private func setPin(_ asserted: Bool) throws {
        try client.write(UInt32(1), region: 0, offset: asserted ? 0x14 : 0x18)
    }

    // MARK: Messages

    @Test(arguments: [InterruptKind.msi, .msix])
    func eachVectorHasItsEventFD(kind: InterruptKind) throws {
        let events = try eventFDs(8)
        try client.setEventFDs(events, kind: kind)
        try raise(3)
        try raise(3)
        try raise(7)
        try raise(8)
        #expect(events.map { $0.consume() } == [0, 0, 0, 2, 0, 0, 0, 1])
    }

    @Test func aRangeThatDoesNotBeginAtZeroCanBeTakenAway() throws {
        let events = try eventFDs(8)
        try client.setEventFDs(events, kind: .msix)
        try client.removeEventFDs(kind: .msix, start: 5, count: 2)
        for vector in 0..<8 as Range<UInt32> { try raise(vector) }
        #expect(events.map { $0.consume() } == [1, 1, 1, 1, 1, 0, 0, 1])
    }

    @Test func anEventFDThatComesLaterGetsWhatIsPending() throws {
        // As QEMU begins: the type is on, but vector 0 has no eventfd.
        try client.removeEventFDs(kind: .msix, start: 0, count: 1)
        try raise(2)
        let event = try EventFD()
        try client.setEventFDs([event], kind: .msix, start: 2)
        #expect(event.consume() == 1)
    }

    @Test func maskedVectorsWait() throws {
        let events = try eventFDs(2)
        try client.setEventFDs(events, kind: .msix)
        try client.act(.mask, kind: .msix, start: 0, where: [true, false])
        try raise(0)
        try raise(0)
        try raise(1)
        #expect(events.map { $0.consume() } == [0, 1])
        #expect(try client.read(UInt64.self, region: 4, offset: 0x800) == 1, "the pending-bit array")
        try client.act(.unmask, kind: .msix, start: 0)
        #expect(events.map { $0.consume() } == [1, 0])
        #expect(try client.read(UInt64.self, region: 4, offset: 0x800) == 0)
    }

    @Test func theFunctionMaskHoldsEverythingBack() throws {
        let events = try eventFDs(2)
        try client.setEventFDs(events, kind: .msix)
        let control = try #require(try capability(0x11)) + 2
        try client.write(UInt16(0xc000), region: 7, offset: control)
        try raise(1)
        #expect(events.map { $0.consume() } == [0, 0])
        try client.write(UInt16(0x8000), region: 7, offset: control)
        #expect(events.map { $0.consume() } == [0, 1])
    }

    private func capability(_ id: UInt8) throws -> UInt64? {
        var offset = try client.read(UInt8.self, region: 7, offset: 0x34)
        while offset != 0 {
            let header = try client.read(UInt16.self, region: 7, offset: UInt64(offset))
            if UInt8(truncatingIfNeeded: header) == id { return UInt64(offset) }
            offset = UInt8(header >> 8)
        }
        return nil
    }

    @Test func aSwitchedOffTypeForgetsWhatIsPending() throws {
        try client.removeEventFDs(kind: .msix, start: 0, count: 1)
        try raise(1)
        try client.disableInterrupts(.msix)
        let events = try eventFDs(8)
        try client.setEventFDs(events, kind: .msix)
        #expect(events.map { $0.consume() } == [0, 0, 0, 0, 0, 0, 0, 0])
    }

    @Test func oneTypeAtATime() throws {
        let event = try EventFD()
        try client.setEventFDs([event], kind: .intx)
        #expect(throws: ClientError.refused(.deviceSetIRQs, .invalidArgument)) {
            try client.setEventFDs([event], kind: .msi)
        }
        try client.disableInterrupts(.intx)
        try client.setEventFDs([event], kind: .msi)
        #expect(throws: ClientError.refused(.deviceSetIRQs, .invalidArgument)) {
            try client.setEventFDs([event], kind: .msix)
        }
        try client.disableInterrupts(.msi)
        try client.setEventFDs([event], kind: .msix)
        try raise(0)
        #expect(event.consume() == 1)
    }

    @Test func clientsMayTriggerThemselves() throws {
        let events = try eventFDs(3)
        try client.setEventFDs(events, kind: .msix)
        try client.act(.trigger, kind: .msix, start: 0, count: 2)
        try client.act(.trigger, kind: .msix, start: 0, where: [true, false, true])
        #expect(events.map { $0.consume() } == [2, 1, 1])
    }

    // MARK: INTx

    @Test func theePinMasksItselfAndIsToldAgainAfterAnUnmask() throws {
        let event = try EventFD()
        try client.setEventFDs([event], kind: .intx)
        try setPin(true)
        #expect(event.consume() == 1)
        try setPin(true)
        #expect(event.consume() == 0, "masked until the client unmasks it")
        try client.act(.unmask, kind: .intx)
        #expect(event.consume() == 1, "the level is still high")
        try setPin(false)
        try client.act(.unmask, kind: .intx)
        #expect(event.consume() == 0)
        try setPin(true)
        #expect(event.consume() == 1)
    }

    @Test func aMaskedPinIsSilent() throws {
        let event = try EventFD()
        try client.setEventFDs([event], kind: .intx)
        try client.act(.mask, kind: .intx)
        try setPin(true)
        #expect(event.consume() == 0)
        try client.act(.unmask, kind: .intx)
        #expect(event.consume() == 1)
    }

    @Test func anEventFDUnmasks() throws {
        let event = try EventFD()
        let resample = try EventFD()
        try client.setEventFDs([event], kind: .intx)
        try client.setEventFDs([resample], kind: .intx, action: .unmask)
        try setPin(true)
        #expect(event.consume() == 1)
        resample.signal()
        #expect(event.wait(within: .seconds(10)) == 1)
        try client.removeEventFDs(kind: .intx, count: 1, action: .unmask)
        resample.signal()
        _ = try client.deviceInfo()
        #expect(event.consume() == 0)
    }

    @Test func interruptDisableHoldsThePinBack() throws {
        let event = try EventFD()
        try client.setEventFDs([event], kind: .intx)
        try client.write(UInt16(0x0400), region: 7, offset: 4)
        try setPin(true)
        #expect(event.consume() == 0)
        #expect(try client.read(UInt16.self, region: 7, offset: 6) & 8 == 8, "interrupt status")
        try client.write(UInt16(0), region: 7, offset: 4)
        #expect(event.consume() == 1)
    }

    @Test func theLevelIsKnownToWhoComesLater() throws {
        try setPin(true)
        let event = try EventFD()
        try client.setEventFDs([event], kind: .intx)
        #expect(event.consume() == 1)
    }

    // MARK: Error and request

    @Test func theDeviceReportsErrorsAndAsksToGo() throws {
        let error = try EventFD()
        let request = try EventFD()
        try client.setEventFDs([error], kind: .error)
        try client.setEventFDs([request], kind: .request)
        device.onThread { function, _ in
            function.host.interrupts.reportError()
            function.host.interrupts.requestRemoval()
        }
        #expect(error.consume() == 1)
        #expect(request.consume() == 1)
    }
}
