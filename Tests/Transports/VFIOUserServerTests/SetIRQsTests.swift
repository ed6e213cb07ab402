import CLinux
import FakeGuest
import Linux
import PCI
import Testing
import VFIO

/// VFIO_USER_DEVICE_SET_IRQS, by the rules of the kernel's `vfio_pci_intrs.c`.
@Suite struct SetIRQsTests {
    private let bench: Bench

    init() throws {
        bench = try Bench()
    }

    private func set(
        _ kind: InterruptKind, start: UInt32 = 0, count: UInt32 = 1, _ data: IRQSet.DataType, _ action: IRQSet.Action,
        bools: [UInt8] = []
    ) -> [UInt8] {
        wire(IRQSet(kind: kind, start: start, count: count, data: data, action: action).write) + bools
    }

    /// Assigns an eventfd to each of the vectors.
    private func assign(_ kind: InterruptKind, start: UInt32 = 0, count: Int = 1, _ action: IRQSet.Action = .trigger)
        throws -> [EventFD]
    {
        let events = try (0..<count).map { _ in try EventFD() }
        try bench.call(
            .deviceSetIRQs, set(kind, start: start, count: UInt32(count), .eventfd, action),
            descriptors: events.map { $0.descriptor.raw })
        return events
    }

    private func raise(_ vector: UInt32) throws { try bench.write(vector, at: 0x10) }
    private func setCause() throws { try bench.write(UInt32(1), at: 0x14) }
    private func clearCause() throws { try bench.write(UInt32.max, at: 0x18) }

    @Test(arguments: [InterruptKind.msi, .msix])
    func eachVectorHasItsEventFD(_ kind: InterruptKind) throws {
        let events = try assign(kind, count: 8)
        for vector in 0..<8 {
            try raise(UInt32(vector))
            #expect(events.map { $0.consume() } == (0..<8).map { $0 == vector ? 1 : 0 })
        }
    }

    @Test func aRangeNeedNotBeginAtZero() throws {
        let high = try assign(.msix, start: 6, count: 2)
        try raise(7)
        #expect(high[0].consume() == 0 && high[1].consume() == 1)
        let low = try assign(.msix, start: 0, count: 1)
        try raise(0)
        try raise(6)
        #expect(low[0].consume() == 1 && high[0].consume() == 1)
    }

    @Test func takingAwayARangeLeavesTheOthers() throws {
        let events = try assign(.msix, count: 8)
        let reply = try bench.call(.deviceSetIRQs, set(.msix, start: 2, count: 3, .eventfd, .trigger))
        #expect(reply.payload.isEmpty)
        for vector in 0..<8 as Range<UInt32> { try raise(vector) }
        #expect(events.map { $0.consume() } == [1, 1, 0, 0, 0, 1, 1, 1])
        // What could not be sent waits for its new way.
        let again = try assign(.msix, start: 3)
        #expect(again[0].consume() == 1)
    }

    @Test func onlyOneOfTheKindsIsOnAtATime() throws {
        let kinds: [InterruptKind] = [.intx, .msi, .msix]
        for kind in kinds {
            _ = try assign(kind)
            for other in kinds where other != kind {
                let event = try EventFD()
                try bench.expectRefusal(
                    .invalidArgument, of: .deviceSetIRQs, set(other, .eventfd, .trigger),
                    descriptors: [event.descriptor.raw])
            }
            try bench.call(.deviceSetIRQs, set(kind, count: 0, .none, .trigger))
        }
    }

    @Test(arguments: InterruptKind.allCases)
    func theClientTriggersForATest(_ kind: InterruptKind) throws {
        let event = try assign(kind)[0]
        try bench.call(.deviceSetIRQs, set(kind, .none, .trigger))
        #expect(event.consume() == 1)
        if kind == .intx { try bench.call(.deviceSetIRQs, set(kind, .none, .unmask)) }
        try bench.call(.deviceSetIRQs, set(kind, .bool, .trigger, bools: [0]))
        #expect(event.consume() == 0)
        try bench.call(.deviceSetIRQs, set(kind, .bool, .trigger, bools: [1]))
        #expect(event.consume() == 1)
    }

    @Test func boolsChooseVectors() throws {
        let events = try assign(.msix, count: 8)
        try bench.call(.deviceSetIRQs, set(.msix, start: 1, count: 4, .bool, .trigger, bools: [1, 0, 0, 255]))
        #expect(events.map { $0.consume() } == [0, 1, 0, 0, 1, 0, 0, 0])
    }

    @Test(arguments: [InterruptKind.msi, .msix])
    func maskedMessagesComeWithTheUnmask(_ kind: InterruptKind) throws {
        let events = try assign(kind, count: 2)
        try bench.call(.deviceSetIRQs, set(kind, count: 2, .bool, .mask, bools: [0, 1]))
        try raise(0)
        try raise(1)
        #expect(events.map { $0.consume() } == [1, 0])
        try bench.call(.deviceSetIRQs, set(kind, start: 1, .none, .unmask))
        #expect(events.map { $0.consume() } == [0, 1])
    }

    @Test func switchingOffForgetsWhatIsPending() throws {
        _ = try assign(.msix)
        try bench.call(.deviceSetIRQs, set(.msix, .none, .mask))
        try raise(0)
        try bench.call(.deviceSetIRQs, set(.msix, count: 0, .none, .trigger))
        #expect(try assign(.msix)[0].consume() == 0)
        try bench.call(.deviceSetIRQs, set(.msix, count: 0, .none, .trigger))
        try bench.call(.deviceSetIRQs, set(.msix, count: 0, .none, .trigger))
    }

    // MARK: INTx

    @Test func thePinMasksItselfUntilItIsUnmasked() throws {
        let event = try assign(.intx)[0]
        try setCause()
        try setCause()
        #expect(event.consume() == 1)
        // Still asserted: the unmask tells at once.
        try bench.call(.deviceSetIRQs, set(.intx, .none, .unmask))
        #expect(event.consume() == 1)
        try clearCause()
        try bench.call(.deviceSetIRQs, set(.intx, .none, .unmask))
        #expect(event.consume() == 0)
    }

    @Test func aPinThatIsAssertedAlreadyIsToldAtOnce() throws {
        try setCause()
        #expect(try assign(.intx)[0].consume() == 1)
    }

    @Test func theResampleEventFDUnmasks() throws {
        let event = try assign(.intx)[0]
        let resample = try assign(.intx, .unmask)[0]
        try setCause()
        #expect(event.consume() == 1)
        resample.signal()
        bench.device.onThread { _, _ in }
        #expect(event.consume() == 1)
        try clearCause()
        resample.signal()
        bench.device.onThread { _, _ in }
        #expect(event.consume() == 0)
    }

    @Test func anEventFDThatIsNeverEmptyUnmasksOnceForEachSignal() throws {
        let event = try assign(.intx)[0]
        let raw = eventfd(1 << 20, Int32(EFD_CLOEXEC | EFD_SEMAPHORE))
        let resample = Descriptor(owning: raw)
        try bench.call(.deviceSetIRQs, set(.intx, .eventfd, .unmask), descriptors: [resample.raw])
        bench.device.onThread { _, _ in }
        try setCause()
        #expect(event.consume() == 1)
        for _ in 0..<20 { bench.device.onThread { _, _ in } }
        #expect(event.consume() == 0)
        let one = wire(UInt64(1))
        #expect(try one.withUnsafeBytes { try resample.write($0) } == 8)
        // Of two that are ready either may be first; after the second turn both were.
        for _ in 0..<2 { bench.device.onThread { _, _ in } }
        #expect(event.consume() == 1)
    }

    @Test func aMaskEventFDMasks() throws {
        let event = try assign(.intx)[0]
        let mask = try assign(.intx, .mask)[0]
        mask.signal()
        bench.device.onThread { _, _ in }
        try setCause()
        #expect(event.consume() == 0)
        try bench.call(.deviceSetIRQs, set(.intx, .none, .unmask))
        #expect(event.consume() == 1)
        // Taken away, it does nothing any more.
        try bench.call(.deviceSetIRQs, set(.intx, .eventfd, .mask))
        try clearCause()
        try bench.call(.deviceSetIRQs, set(.intx, .none, .unmask))
        mask.signal()
        bench.device.onThread { _, _ in }
        try setCause()
        #expect(event.consume() == 1)
    }

    @Test func theCommandRegisterHoldsThePinBack() throws {
        let event = try assign(.intx)[0]
        try bench.write(UInt16(1 << 10), region: 7, at: 4)
        try setCause()
        #expect(event.consume() == 0)
        #expect(try bench.read(UInt16.self, region: 7, at: 6) & 8 != 0)
        try bench.write(UInt16(0), region: 7, at: 4)
        #expect(event.consume() == 1)
    }

    // MARK: MSI-X in configuration space

    @Test func theFunctionMaskHoldsBackAndThePendingBitsTell() throws {
        let events = try assign(.msix, count: 8)
        let control = try bench.capability(0x11) + 2
        let value = try bench.read(UInt16.self, region: 7, at: control)
        try bench.write(value | 0xc000, region: 7, at: control)
        try raise(3)
        try raise(7)
        #expect(events.allSatisfy { $0.consume() == 0 })
        #expect(try bench.read(UInt64.self, region: 4, at: 0x800) == 0x88)
        try bench.write(value | 0x8000, region: 7, at: control)
        #expect(events.map { $0.consume() } == [0, 0, 0, 1, 0, 0, 0, 1])
        #expect(try bench.read(UInt64.self, region: 4, at: 0x800) == 0)
    }

    // MARK: Wrong ways

    @Test func aFullBlockingEventFDStopsNobody() throws {
        let event = try EventFD()
        try event.descriptor.setNonblocking(false)
        let full = wire(UInt64.max - 1)
        #expect(try full.withUnsafeBytes { try event.descriptor.write($0) } == 8)
        try bench.call(.deviceSetIRQs, set(.msix, .eventfd, .trigger), descriptors: [event.descriptor.raw])
        try raise(0)
        try bench.expectAlive()
    }

    @Test(arguments: InterruptKind.allCases)
    func rangesOutsideAreInvalid(_ kind: InterruptKind) throws {
        let available: UInt32 = kind == .msi || kind == .msix ? 8 : 1
        for (start, count) in [(available, 1), (0, available + 1), (available, 0), (1, .max), (.max, 1), (.max, .max)] {
            try bench.expectRefusal(
                .invalidArgument, of: .deviceSetIRQs, set(kind, start: start, count: count, .none, .trigger))
            try bench.expectRefusal(
                .invalidArgument, of: .deviceSetIRQs, set(kind, start: start, count: count, .eventfd, .trigger))
        }
    }

    @Test func aTypeThatTheDeviceLacksCanNotBeSwitchedOff() throws {
        let serial = try Bench("serial")
        for kind in [InterruptKind.msi, .msix] {
            let reply = try serial.client.call(.deviceSetIRQs, set(kind, count: 0, .none, .trigger))
            #expect(reply.errno == .invalidArgument)
        }
        try serial.call(.deviceSetIRQs, set(.intx, count: 0, .none, .trigger))
    }

    @Test func noOtherTypeExists() throws {
        for index in [5, .max] as [UInt32] {
            let payload = set(.intx, .none, .trigger).replacing(at: 8, with: index)
            try bench.expectRefusal(.invalidArgument, of: .deviceSetIRQs, payload)
        }
    }

    @Test(arguments: [0, 1, 8, 3 | 8, 7 | 32, 1 | 24, 1 | 56, 2 | 4 | 32, 1 | 32 | 64, 0x8000_0021] as [UInt32])
    func flagsNameOneDataTypeAndOneAction(_ flags: UInt32) throws {
        let payload = set(.msix, .none, .trigger).replacing(at: 4, with: flags)
        try bench.expectRefusal(.invalidArgument, of: .deviceSetIRQs, payload)
    }

    @Test func wrongLengthsAreInvalid() throws {
        _ = try assign(.msix, count: 8)
        for payload in wrongLengths(of: set(.msix, .none, .mask))
            + wrongLengths(
                of: set(.msix, count: 3, .bool, .mask, bools: [1, 1, 1]))
            + [set(.msix, .none, .mask).replacing(at: 0, with: UInt32(19))]
        {
            try bench.expectRefusal(.invalidArgument, of: .deviceSetIRQs, payload)
        }
    }

    @Test func theNumberOfDescriptorsMustFit() throws {
        let event = try EventFD()
        let raw = event.descriptor.raw
        for (payload, count) in [
            (set(.msix, count: 2, .eventfd, .trigger), 1), (set(.msix, count: 2, .eventfd, .trigger), 3),
            (set(.msix, .none, .trigger), 1), (set(.msix, .bool, .trigger, bools: [1]), 1),
            (set(.msix, count: 0, .none, .trigger), 1),
        ] {
            try bench.expectRefusal(
                .invalidArgument, of: .deviceSetIRQs, payload, descriptors: Array(repeating: raw, count: count))
        }
    }

    @Test func whatIsNoEventFDIsInvalidAndChangesNothing() throws {
        let events = try assign(.msix, count: 2)
        let file = try MemoryFile(name: "no eventfd", size: 4096)
        let fresh = try EventFD()
        try bench.expectRefusal(
            .invalidArgument, of: .deviceSetIRQs, set(.msix, count: 2, .eventfd, .trigger),
            descriptors: [fresh.descriptor.raw, file.descriptor.raw])
        #expect(file.descriptor.openCount(settlingAt: 1) == 1)
        try raise(0)
        #expect(events[0].consume() == 1 && fresh.consume() == 0)
    }

    @Test func aTypeThatIsOffCanNotBeMaskedOrTriggered() throws {
        for kind in [InterruptKind.intx, .msi, .msix] {
            for action in [IRQSet.Action.mask, .unmask, .trigger] {
                try bench.expectRefusal(.invalidArgument, of: .deviceSetIRQs, set(kind, .none, action))
            }
        }
    }

    @Test(arguments: [InterruptKind.error, .request])
    func errorAndRequestCanOnlyBeTriggered(_ kind: InterruptKind) throws {
        let event = try assign(kind)[0]
        for action in [IRQSet.Action.mask, .unmask] {
            try bench.expectRefusal(.inappropriateIOCTLForDevice, of: .deviceSetIRQs, set(kind, .none, action))
            try bench.expectRefusal(
                .inappropriateIOCTLForDevice, of: .deviceSetIRQs, set(kind, .eventfd, action),
                descriptors: [event.descriptor.raw])
        }
    }

    @Test func messagesAreNotMaskedByEventFD() throws {
        let event = try assign(.msix)[0]
        for action in [IRQSet.Action.mask, .unmask] {
            try bench.expectRefusal(
                .inappropriateIOCTLForDevice, of: .deviceSetIRQs, set(.msix, .eventfd, action),
                descriptors: [event.descriptor.raw])
        }
    }

    @Test func onlyNoDataAndTriggerSwitchOff() throws {
        let event = try assign(.msix)[0]
        for (data, action) in [
            (.none, .mask), (.none, .unmask), (.bool, .trigger), (.eventfd, .trigger),
        ] as [(IRQSet.DataType, IRQSet.Action)] {
            try bench.expectRefusal(.invalidArgument, of: .deviceSetIRQs, set(.msix, count: 0, data, action))
        }
        try raise(0)
        #expect(event.consume() == 1)
    }

    @Test func anUnwantedReplyIsNone() throws {
        let event = try EventFD()
        try bench.post(.deviceSetIRQs, set(.msix, .eventfd, .trigger), descriptors: [event.descriptor.raw])
        try raise(0)
        #expect(event.consume() == 1)
    }
}
