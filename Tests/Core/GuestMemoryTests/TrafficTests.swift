import GuestMemory
import Linux
import Testing

/// What is counted.
@Suite struct TrafficTests {
    let memory = AddressSpace()

    @Test func mapsAndTheirBytesAreCountedWhileTheyAreThere() throws {
        try memory.map(0, pages: 2, of: try GuestFile(pages: 2))
        try memory.map(16 * page, pages: 1, of: try GuestFile(pages: 1))
        #expect(memory.mapCount == 2)
        #expect(memory.mappedBytes == 3 * page)
        #expect(throws: MapError.self) { try memory.map(0, pages: 1, of: try GuestFile(pages: 1)) }
        #expect(throws: MapError.self) { try memory.unmap(0, pages: 1) }
        #expect(memory.mappedBytes == 3 * page)
        let pin = try memory.pin(address: 0, size: 1, access: .read)
        #expect(try memory.unmap(0, pages: 2) == .held)
        #expect(memory.mappedBytes == page, "what is only held is not mapped")
        memory.unmapAll()
        #expect(memory.mapCount == 0)
        #expect(memory.mappedBytes == 0)
        pin.release()
    }

    @Test func moreThanCanBeToldIsTheMost() throws {
        let remote = FakeRemote(start: 0, pages: 0)
        let half: UInt64 = 1 << 63
        for address in [0, half] {
            try memory.map(address: address, size: half, access: .read, backing: .remote(remote))
        }
        #expect(memory.mappedBytes == .max)
        #expect(try memory.unmap(address: half, size: half, onRelease: {}) == .done)
        #expect(memory.mappedBytes == half)
    }

    @Test func bytesAreCountedWhoeverCopiesThem() throws {
        try memory.map(0, pages: 2, of: try GuestFile(pages: 2))
        try memory.store(UInt64(1), at: page - 4)
        _ = try memory.load(UInt16.self, at: 0)
        let pin = try memory.pin(address: 0, size: 2 * page, access: [.read, .write])
        _ = try pin.load(UInt32.self, at: 8)
        try pin.store(UInt8(1), at: 9)
        #expect(memory.traffic.bytesRead == 6)
        #expect(memory.traffic.bytesWritten == 9)
    }

    @Test func whatFailsOrIsElsewhereDoesNotCount() throws {
        let file = try GuestFile(pages: 1)
        try memory.map(0, pages: 1, of: file)
        try memory.map(address: page, size: page, access: .read, backing: .remote(FakeRemote(start: page, pages: 1)))
        _ = try memory.load(UInt32.self, at: page)
        #expect(throws: DMAError.self) { try memory.load(UInt32.self, at: 4 * page) }
        try file.resize(0)
        #expect(throws: DMAError.fault(address: 0)) { try memory.load(UInt32.self, at: 0) }
        #expect(memory.traffic.bytesRead == 0)
    }
}
