import GuestMemory
import Linux
import Testing

@Suite struct PinTests {
    let memory = AddressSpace()

    @Test func aPinReachesItsRangeAndNothingElse() throws {
        let low = try GuestFile(pages: 1)
        let high = try GuestFile(pages: 1)
        try memory.map(0, pages: 1, of: low)
        try memory.map(page, pages: 1, of: high)
        let pin = try memory.pin(address: page - 8, size: 16, access: [.read, .write])
        try pin.store(UInt64.max, at: page - 4)
        #expect(low.bytes(at: page - 4, count: 4) == [255, 255, 255, 255])
        #expect(high.bytes(at: 0, count: 4) == [255, 255, 255, 255])
        #expect(try pin.load(UInt64.self, at: page - 4) == UInt64.max)
        #expect(throws: DMAError.notMapped(address: page - 9)) { try pin.load(UInt8.self, at: page - 9) }
        #expect(throws: DMAError.notMapped(address: page + 8)) { try pin.load(UInt16.self, at: page + 7) }
    }

    @Test func whatIsNotMappedForTheAccessCannotBePinned() throws {
        try memory.map(0, pages: 1, of: try GuestFile(pages: 1), .read)
        try memory.map(2 * page, pages: 1, of: try GuestFile(pages: 1))
        #expect(throws: DMAError.denied(address: 4, access: .write)) {
            try memory.pin(address: 4, size: 4, access: .write)
        }
        #expect(throws: DMAError.notMapped(address: page)) { try memory.pin(address: 0, size: 3 * page, access: .read) }
        #expect(throws: DMAError.invalidRange(address: 0, size: 0)) {
            try memory.pin(address: 0, size: 0, access: .read)
        }
        #expect(throws: DMAError.invalidRange(address: 4096, size: .max)) {
            try memory.pin(address: 4096, size: .max, access: .read)
        }
        #expect(try memory.unmap(0, pages: 1) == .done, "a pin that failed holds nothing")
    }

    @Test func aPinWithAHandlerIsInvalidatedByAnUnmapOfAnyPart() throws {
        try memory.map(0, pages: 1, of: try GuestFile(pages: 1))
        try memory.map(page, pages: 1, of: try GuestFile(pages: 1))
        var told = 0
        let holder = Holder()
        holder.pin = try memory.pin(
            address: 0, size: 2 * page, access: .write,
            onInvalidation: {
                told += 1
                #expect(throws: Never.self) { try holder.pin?.store(UInt8(1), at: page) }
                #expect(throws: DMAError.notMapped(address: page)) { try memory.load(UInt8.self, at: page) }
            })
        let pin = try #require(holder.pin)
        #expect(try memory.unmap(page, pages: 1) == .done)
        #expect(told == 1)
        #expect(!pin.isValid)
        #expect(throws: DMAError.notMapped(address: 0)) { try pin.store(UInt8(1), at: 0) }
        #expect(try memory.unmap(0, pages: 1) == .done)
        #expect(told == 1)
    }

    @Test func aPinThatIsToldOfTheUnmapHoldsItOffAllTheSame() throws {
        try memory.map(0, pages: 1, of: try GuestFile(pages: 1))
        var told = 0
        let pin = try memory.pin(address: 0, size: page, access: .write, onWithdrawal: { told += 1 })
        var released = 0
        #expect(try memory.unmap(address: 0, size: page, onRelease: { released += 1 }) == .held)
        #expect(told == 1 && released == 0 && pin.isValid)
        try pin.store(UInt32(7), at: 0)
        pin.release()
        #expect(told == 1 && released == 1 && !pin.isValid)
        // One that is released when it is told holds nothing off.
        try memory.map(0, pages: 1, of: try GuestFile(pages: 1))
        let holder = Holder()
        holder.pin = try memory.pin(
            address: 0, size: page, access: .read, onWithdrawal: { holder.pin?.release() })
        #expect(try memory.unmap(0, pages: 1) == .done)
        // And one that is gone before is told nothing.
        try memory.map(0, pages: 1, of: try GuestFile(pages: 1))
        do { _ = try memory.pin(address: 0, size: page, access: .read, onWithdrawal: { told += 1 }) }
        #expect(try memory.unmap(0, pages: 1) == .done)
        #expect(told == 1)
    }

    @Test func aPinWithoutAHandlerHoldsTheUnmapOff() throws {
        let file = try GuestFile(pages: 2)
        try memory.map(0, pages: 2, of: file)
        let first = try memory.pin(address: 0, size: 8, access: .write)
        let second = try memory.pin(address: 8, size: 8, access: .write)
        var released = 0
        #expect(try memory.unmap(address: 0, size: 2 * page, onRelease: { released += 1 }) == .held)
        #expect(memory.mapCount == 0)
        #expect(throws: DMAError.notMapped(address: 0)) { try memory.load(UInt8.self, at: 0) }
        #expect(throws: DMAError.notMapped(address: 0)) { try memory.pin(address: 0, size: 8, access: .read) }
        try first.store(UInt32(7), at: 0)
        #expect(file.bytes(at: 0, count: 1) == [7])
        first.release()
        first.release()
        #expect(released == 0)
        #expect(throws: DMAError.notMapped(address: 0)) { try first.store(UInt32(7), at: 0) }
        #expect(file.mappingCount == 1)
        second.release()
        #expect(released == 1)
        #expect(file.mappingCount == 0)
    }

    @Test func aPinThatGoesAwayIsReleased() throws {
        try memory.map(0, pages: 1, of: try GuestFile(pages: 1))
        var released = 0
        do {
            let pin = try memory.pin(address: 0, size: 8, access: .write)
            #expect(try memory.unmap(address: 0, size: page, onRelease: { released += 1 }) == .held)
            #expect(pin.isValid)
            withExtendedLifetime(pin) {}
        }
        #expect(released == 1)
        try memory.map(0, pages: 1, of: try GuestFile(pages: 1))
        var told = 0
        do { _ = try memory.pin(address: 0, size: 8, access: .write, onInvalidation: { told += 1 }) }
        #expect(try memory.unmap(0, pages: 1) == .done)
        #expect(told == 0)
    }

    @Test func unmapIsDoneWhenAHandlerReleasesTheLastHold() throws {
        try memory.map(0, pages: 1, of: try GuestFile(pages: 1))
        let hold = try memory.pin(address: 0, size: 8, access: .read)
        let watcher = try memory.pin(address: 0, size: 8, access: .read, onInvalidation: { hold.release() })
        var released = 0
        #expect(try memory.unmap(address: 0, size: page, onRelease: { released += 1 }) == .done)
        #expect(released == 0)
        #expect(!watcher.isValid)
    }

    @Test func oneHandlerMayReleaseTheNextPin() throws {
        try memory.map(0, pages: 1, of: try GuestFile(pages: 1))
        let holder = Holder()
        var told: [Int] = []
        let first = try memory.pin(
            address: 0, size: 8, access: .read,
            onInvalidation: {
                told.append(1)
                holder.pin?.release()
            })
        holder.pin = try memory.pin(address: 0, size: 8, access: .read, onInvalidation: { told.append(2) })
        let third = try memory.pin(address: 0, size: 8, access: .read, onInvalidation: { told.append(3) })
        #expect(try memory.unmap(0, pages: 1) == .done)
        #expect(told == [1, 3])
        #expect(!first.isValid && !third.isValid)
    }

    @Test func memoryHeldWhileItsClientIsGoneStaysUsable() throws {
        let old = try GuestFile(pages: 2)
        try memory.map(0, pages: 1, of: old)
        try memory.map(page, pages: 1, of: old, at: page)
        let pin = try memory.pin(address: 0, size: 2 * page, access: [.read, .write])
        var released = 0
        #expect(memory.unmapAll(onRelease: { released += 1 }) == .held)

        let new = try GuestFile(pages: 2)
        try memory.map(0, pages: 2, of: new)
        try memory.store(UInt8(2), at: 0)
        try pin.store(UInt8(1), at: 0)
        #expect(old.bytes(at: 0, count: 1) == [1])
        #expect(new.bytes(at: 0, count: 1) == [2])
        #expect(try memory.unmap(0, pages: 2) == .done)
        #expect(released == 0)
        pin.release()
        #expect(released == 1)
        #expect(old.mappingCount == 0)
    }

    @Test func aPinOutlivesItsAddressSpace() throws {
        let file = try GuestFile(pages: 1)
        var space: AddressSpace? = AddressSpace()
        try space?.map(0, pages: 1, of: file)
        let pin = try #require(try space?.pin(address: 0, size: page, access: .write))
        space = nil
        try pin.store(UInt8(4), at: 12)
        #expect(file.bytes(at: 12, count: 1) == [4])
        pin.release()
        #expect(file.mappingCount == 0)
    }

    @Test func pinsOfRemoteMemoryMoveTheBytesByMessage() throws {
        let remote = FakeRemote(start: page, pages: 1)
        try memory.map(page, pages: 1, of: remote)
        let pin = try memory.pin(address: page + 4, size: 8, access: [.read, .write])
        try pin.store(UInt32(0xAABB_CCDD), at: page + 8)
        #expect(remote.writes == [.init(address: page + 8, count: 4)])
        #expect(try pin.load(UInt32.self, at: page + 8) == 0xAABB_CCDD)
    }

    @Test func aTruncatedFileFailsThePinsAccessOnly() throws {
        let file = try GuestFile(pages: 2)
        try memory.map(0, pages: 2, of: file)
        let pin = try memory.pin(address: 0, size: 2 * page, access: .read)
        try file.resize(page)
        #expect(throws: DMAError.fault(address: page)) { try pin.load(UInt32.self, at: page) }
        #expect(try pin.load(UInt32.self, at: 0) == 0)
    }

    private final class Holder {
        var pin: Pin?
    }
}
