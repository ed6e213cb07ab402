import GuestMemory
import Linux
import Testing
import SeededRandom

@Suite struct MapTests {
    let memory = AddressSpace(maximumMaps: 4)

    @Test func overlappingAMapIsRefusedWithEEXIST() throws {
        let file = try GuestFile(pages: 8)
        try memory.map(4 * page, pages: 2, of: file)
        for (start, pages) in [(4, 2), (3, 2), (5, 1), (5, 4), (0, 8)] as [(UInt64, UInt64)] {
            let expected = MapError.overlap(address: start * page, size: pages * page)
            #expect(throws: expected) { try memory.map(start * page, pages: pages, of: file) }
            #expect(expected.errno == .fileExists)
        }
        try memory.map(3 * page, pages: 1, of: file)
        try memory.map(6 * page, pages: 1, of: file)
        #expect(memory.mapCount == 3)
    }

    @Test(
        arguments: [
            (0, 0), (1, 4096), (4096, 1), (4096, 4095), (4096, 6144),
            (UInt64.max - 4095, 8192), (8192, UInt64.max - 4095),
        ] as [(UInt64, UInt64)])
    func rangesThatAreNoWholePagesBelowTheEndAreRefusedWithEINVAL(address: UInt64, size: UInt64) throws {
        let expected = MapError.invalidRange(address: address, size: size)
        #expect(throws: expected) {
            try memory.map(
                address: address, size: size, access: .read, backing: .remote(FakeRemote(start: 0, pages: 1)))
        }
        #expect(expected.errno == .invalidArgument)
        #expect(memory.mapCount == 0)
    }

    @Test func aMapMayEndAtTheLastAddress() throws {
        let file = try GuestFile(pages: 2)
        let start = UInt64.max - (2 * page - 1)
        try memory.map(start, pages: 2, of: file)
        try memory.store(UInt8(7), at: UInt64.max)
        #expect(file.bytes(at: 2 * page - 1, count: 1) == [7])
        #expect(throws: DMAError.invalidRange(address: UInt64.max, size: 2)) {
            try memory.load(UInt16.self, at: UInt64.max)
        }
        #expect(try memory.unmap(start, pages: 2) == .done)
    }

    @Test func aMapMustAllowSomething() throws {
        let file = try GuestFile(pages: 1)
        #expect(throws: MapError.noAccess) { try memory.map(0, pages: 1, of: file, []) }
        #expect(throws: MapError.noAccess) { try memory.map(0, pages: 1, of: file, DMAAccess(rawValue: 4)) }
        #expect(MapError.noAccess.errno == .invalidArgument)
    }

    @Test func oneMapTooManyIsRefusedWithENOSPC() throws {
        let file = try GuestFile(pages: 1)
        for index in 0..<4 { try memory.map(UInt64(index) * page, pages: 1, of: file) }
        #expect(throws: MapError.full(maximum: 4)) { try memory.map(4 * page, pages: 1, of: file) }
        #expect(MapError.full(maximum: 4).errno == .noSpace)
        try memory.unmap(0, pages: 1)
        try memory.map(4 * page, pages: 1, of: file)
    }

    @Test func unmapTakesExactlyWhatWasMapped() throws {
        let file = try GuestFile(pages: 8)
        try memory.map(4 * page, pages: 2, of: file)
        try memory.map(6 * page, pages: 2, of: file)
        for (start, pages) in [(4, 1), (5, 1), (4, 4), (3, 3), (0, 1), (4, 0)] as [(UInt64, UInt64)] {
            let expected = MapError.notMapped(address: start * page, size: pages * page)
            #expect(throws: expected) { try memory.unmap(start * page, pages: pages) }
            #expect(expected.errno == .noSuchFileOrDirectory)
        }
        #expect(throws: MapError.notMapped(address: 4096, size: .max)) {
            try memory.unmap(address: 4096, size: .max, onRelease: {})
        }
        #expect(memory.mapCount == 2)
        #expect(try memory.unmap(4 * page, pages: 2) == .done)
        #expect(throws: MapError.notMapped(address: 4 * page, size: 2 * page)) {
            try memory.unmap(4 * page, pages: 2)
        }
    }

    @Test func unmappedMemoryIsOutOfReachAtOnce() throws {
        let file = try GuestFile(pages: 1)
        try memory.map(0, pages: 1, of: file)
        _ = try memory.load(UInt32.self, at: 0)
        try memory.unmap(0, pages: 1)
        #expect(throws: DMAError.notMapped(address: 0)) { try memory.load(UInt32.self, at: 0) }
    }

    @Test func unmapAllEmptiesTheSpace() throws {
        let file = try GuestFile(pages: 4)
        try memory.map(0, pages: 2, of: file)
        try memory.map(8 * page, pages: 1, of: FakeRemote(start: 8 * page, pages: 1))
        _ = try memory.load(UInt32.self, at: 0)
        #expect(memory.unmapAll() == .done)
        #expect(memory.mapCount == 0)
        #expect(file.mappingCount == 0)
        #expect(throws: DMAError.notMapped(address: 0)) { try memory.load(UInt32.self, at: 0) }
        #expect(memory.unmapAll() == .done)
    }

    enum Order: CaseIterable {
        case ascending, descending, shuffled

        func numbers(_ count: UInt64, using random: inout SplitMix) -> [UInt64] {
            switch self {
            case .ascending: Array(0..<count)
            case .descending: (0..<count).reversed()
            case .shuffled: (0..<count).shuffled(using: &random)
            }
        }
    }

    @Test(arguments: Order.allCases, Order.allCases)
    func mapsAreFoundWhateverOrderTheyComeAndGoIn(coming: Order, going: Order) throws {
        let count: UInt64 = 1_500
        let memory = AddressSpace(maximumMaps: Int(count))
        let remote = FakeRemote(start: 0, pages: 2 * Int(count))
        var random = SplitMix(seed: 5)
        for number in coming.numbers(count, using: &random) {
            try memory.map(2 * number * page, pages: 1, of: remote)
        }
        var left = Set(0..<count)
        for (step, number) in going.numbers(count, using: &random).enumerated() {
            try memory.unmap(2 * number * page, pages: 1)
            left.remove(number)
            guard step % 100 == 99 else { continue }
            let found = (0..<2 * count).filter { (try? memory.load(UInt8.self, at: $0 * page + 4095)) != nil }
            #expect(found == left.map { 2 * $0 }.sorted())
            if step % 500 == 99 {
                // Some come back into what has become sparse.
                for number in (0..<count).shuffled(using: &random).prefix(100) where left.insert(number).inserted {
                    try memory.map(2 * number * page, pages: 1, of: remote)
                    try memory.unmap(2 * number * page, pages: 1)
                    left.remove(number)
                }
            }
        }
        #expect(memory.mapCount == 0)
    }

    @Test func errorsSayWhatHappenedWithTheNumbers() {
        #expect("\(MapError.overlap(address: 0x1000, size: 8192))".contains("8192 bytes at 0x1000"))
        #expect("\(MapError.beyondEndOfFile(offset: 0x2000, size: 4096, fileSize: 77))".contains("77"))
        #expect("\(DMAError.denied(address: 0x3000, access: .write))".contains("0x3000 does not allow write"))
        #expect("\(DirtyLogError.bitmapTooSmall(bytes: 3, needed: 9))".contains("3 bytes"))
    }
}
