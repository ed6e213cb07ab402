import GuestMemory
import Linux
import Testing

@Suite struct AccessTests {
    let memory = AddressSpace()

    @Test func anAccessRunsAcrossMapsThatAdjoin() throws {
        let low = try GuestFile(pages: 1)
        let high = try GuestFile(pages: 1)
        let remote = FakeRemote(start: 2 * page, pages: 1)
        try memory.map(page, pages: 1, of: high)
        try memory.map(0, pages: 1, of: low)
        try memory.map(2 * page, pages: 1, of: remote)
        let pattern = (0..<Int(page) + 20).map { UInt8(truncatingIfNeeded: $0 &* 7) }
        try memory.write(pattern, at: page - 10)
        #expect(low.bytes(at: page - 10, count: 10) == Array(pattern[..<10]))
        #expect(high.bytes(at: 0, count: Int(page)) == Array(pattern[10..<10 + Int(page)]))
        #expect(remote.bytes[..<10] == pattern[(10 + Int(page))...])
        #expect(try memory.bytes(at: page - 10, count: pattern.count) == pattern)
    }

    @Test func valuesMayLieAcrossABorder() throws {
        let low = try GuestFile(pages: 1)
        let high = try GuestFile(pages: 1)
        try memory.map(0, pages: 1, of: low)
        try memory.map(page, pages: 1, of: high)
        try memory.store(UInt64(0x1122_3344_5566_7788), at: page - 3)
        #expect(low.bytes(at: page - 3, count: 3) == [0x88, 0x77, 0x66])
        #expect(high.bytes(at: 0, count: 5) == [0x55, 0x44, 0x33, 0x22, 0x11])
        #expect(try memory.load(UInt64.self, at: page - 3) == 0x1122_3344_5566_7788)
    }

    @Test func structuresAreLoadedAndStored() throws {
        struct Descriptor: BitwiseCopyable, Equatable {
            var address: UInt64
            var length: UInt32
            var flags: UInt16
            var next: UInt16
        }
        try memory.map(0, pages: 1, of: try GuestFile(pages: 1))
        let descriptor = Descriptor(address: 0x1234_5678_9abc, length: 512, flags: 3, next: 4)
        try memory.store(descriptor, at: 17)
        #expect(try memory.load(Descriptor.self, at: 17) == descriptor)
    }

    @Test func spansWorkLikeBuffers() throws {
        try memory.map(0, pages: 1, of: try GuestFile(pages: 1))
        let source: [UInt8] = [1, 2, 3, 4, 5]
        try memory.write(at: 100, from: source.span.bytes)
        var target: [UInt8] = [0, 0, 0, 0, 0]
        var span = target.mutableSpan
        var bytes = span.mutableBytes
        try memory.read(at: 100, into: &bytes)
        #expect(target == source)
    }

    @Test func aHoleEndsAnAccessAtItsFirstByte() throws {
        try memory.map(0, pages: 1, of: try GuestFile(pages: 1))
        try memory.map(2 * page, pages: 1, of: try GuestFile(pages: 1))
        #expect(throws: DMAError.notMapped(address: page)) { try memory.bytes(at: page - 4, count: 8) }
        #expect(throws: DMAError.notMapped(address: page)) {
            try memory.write([UInt8](repeating: 1, count: 3 * Int(page)), at: 0)
        }
        #expect(throws: DMAError.notMapped(address: 2 * page - 1)) { try memory.load(UInt8.self, at: 2 * page - 1) }
        #expect(throws: DMAError.notMapped(address: 3 * page)) { try memory.load(UInt8.self, at: 3 * page) }
        #expect(DMAError.notMapped(address: 0).errno == .badAddress)
    }

    @Test func mapsAllowOnlyTheirAccess() throws {
        let file = try GuestFile(pages: 2)
        try memory.map(0, pages: 1, of: file, .read)
        try memory.map(page, pages: 1, of: file, at: page, .write)
        #expect(throws: DMAError.denied(address: 0, access: .write)) { try memory.store(UInt8(1), at: 0) }
        #expect(throws: DMAError.denied(address: page, access: .read)) { try memory.load(UInt8.self, at: page) }
        // The first map may be read, the second may not.
        #expect(throws: DMAError.denied(address: page, access: .read)) {
            try memory.load(UInt16.self, at: page - 1)
        }
        #expect(DMAError.denied(address: 0, access: .write).errno == .permissionDenied)
        try memory.store(UInt8(1), at: page)
        #expect(file.bytes(at: 0, count: 1) == [0])
        #expect(file.bytes(at: page, count: 1) == [1])
    }

    @Test func movingNothingNeedsNoMap() throws {
        #expect(try memory.bytes(at: 5, count: 0) == [])
        try memory.write([], at: .max)
    }

    @Test func remoteMemoryIsAskedForEachPieceWithItsRemainder() throws {
        let first = FakeRemote(start: 0, pages: 1)
        let second = FakeRemote(start: page, pages: 2)
        try memory.map(0, pages: 1, of: first)
        try memory.map(page, pages: 2, of: second)
        let pattern = (0..<Int(page) + 7).map { UInt8(truncatingIfNeeded: $0 &* 13) }
        try memory.write(pattern, at: page - 5)
        #expect(first.writes == [.init(address: page - 5, count: 5)])
        #expect(second.writes == [.init(address: page, count: Int(page) + 2)])
        #expect(try memory.bytes(at: page - 5, count: pattern.count) == pattern)
        #expect(first.reads == [.init(address: page - 5, count: 5)])
        #expect(second.reads == [.init(address: page, count: Int(page) + 2)])
    }

    @Test func remoteMemoryObeysTheMapsAccess() throws {
        let remote = FakeRemote(start: 0, pages: 1)
        try memory.map(0, pages: 1, of: remote, .read)
        #expect(throws: DMAError.denied(address: 8, access: .write)) { try memory.store(UInt8(1), at: 8) }
        #expect(remote.writes.isEmpty)
    }

    @Test func remoteErrorsReachTheDevice() throws {
        let remote = FakeRemote(start: 0, pages: 1)
        remote.failure = .remote(address: 0, .operationNotSupportedByDevice)
        try memory.map(0, pages: 1, of: remote)
        #expect(throws: DMAError.remote(address: 0, .operationNotSupportedByDevice)) {
            try memory.load(UInt32.self, at: 0)
        }
        #expect(DMAError.remote(address: 0, .operationNotSupportedByDevice).errno == .operationNotSupportedByDevice)
    }

    @Test func mapsMayChangeWhileRemoteMemoryWaits() throws {
        let remote = FakeRemote(start: 0, pages: 1)
        let file = try GuestFile(pages: 1)
        try memory.map(0, pages: 1, of: remote)
        try memory.map(page, pages: 1, of: file)
        remote.whileWaiting = { [memory] in
            _ = try? memory.unmap(0, pages: 1)
            _ = try? memory.unmap(page, pages: 1)
            _ = try? memory.map(8 * page, pages: 1, of: file)
        }
        #expect(throws: DMAError.notMapped(address: page)) { try memory.bytes(at: page - 4, count: 8) }
        #expect(remote.reads == [.init(address: page - 4, count: 4)])
        #expect(memory.mapCount == 1)
    }
}
