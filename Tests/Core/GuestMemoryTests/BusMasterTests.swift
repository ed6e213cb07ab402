import GuestMemory
import Testing

/// A function that is no bus master reaches no memory, by no way.
@Suite struct BusMasterTests {
    let memory = AddressSpace()

    @Test func nothingIsReadOrWrittenMeanwhile() throws {
        let file = try GuestFile(pages: 1)
        try memory.map(0, pages: 1, of: file)
        try memory.store(UInt32(1), at: 0)
        memory.isBusMaster = false
        #expect(throws: DMAError.notBusMaster(address: 0)) { try memory.load(UInt32.self, at: 0) }
        #expect(throws: DMAError.notBusMaster(address: 0)) { try memory.store(UInt32(2), at: 0) }
        #expect(file.bytes(at: 0, count: 4) == [1, 0, 0, 0])
        memory.isBusMaster = true
        #expect(try memory.load(UInt32.self, at: 0) == 1)
    }

    @Test func aPinReachesNothingMeanwhileAndStays() throws {
        try memory.map(0, pages: 1, of: try GuestFile(pages: 1))
        let held = try memory.pin(address: 0, size: 8, access: [.read, .write])
        let told = try memory.pin(address: 0, size: 8, access: [.read, .write], onInvalidation: {})
        try held.store(UInt32(1), at: 0)
        try told.store(UInt32(1), at: 4)
        memory.isBusMaster = false
        for pin in [held, told] {
            #expect(throws: DMAError.notBusMaster(address: 4)) { try pin.load(UInt32.self, at: 4) }
        }
        #expect(throws: DMAError.notBusMaster(address: 0)) { try memory.pin(address: 0, size: 8, access: .read) }
        memory.isBusMaster = true
        for pin in [held, told] { #expect(try pin.load(UInt64.self, at: 0) == 0x1_0000_0001) }
    }

    @Test func whoWaitsForMemoryIsToldOfMapsAndOfTheRightToReachThem() throws {
        var arrivals: [Bool] = []
        memory.onArrival = { arrivals.append($0) }
        #expect(!memory.isReachable)
        try memory.map(0, pages: 1, of: try GuestFile(pages: 1))
        #expect(arrivals == [true] && memory.isReachable)
        try memory.map(page, pages: 1, of: try GuestFile(pages: 1))
        #expect(arrivals == [true, false], "there was some before")
        _ = try memory.unmap(0, pages: 1)
        _ = try memory.unmap(page, pages: 1)
        memory.isBusMaster = false
        try memory.map(0, pages: 1, of: try GuestFile(pages: 1))
        try memory.map(page, pages: 1, of: try GuestFile(pages: 1))
        #expect(arrivals == [true, false] && !memory.isReachable, "what is mapped now is out of reach")
        memory.isBusMaster = true
        memory.isBusMaster = true
        #expect(arrivals == [true, false, true] && memory.isReachable, "two maps came at once")
        _ = try memory.unmap(0, pages: 1)
        _ = try memory.unmap(page, pages: 1)
        #expect(arrivals.count == 3 && !memory.isReachable)
    }
}
