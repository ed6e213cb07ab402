import GuestMemory
import Testing

/// So many maps that look-ups are cached.
@Suite struct ManyMapsTests {
    /// One page each, with a page between them.
    private static let count: UInt64 = 5_000
    let memory = AddressSpace()

    private func address(_ number: UInt64) -> UInt64 { number * 2 * page }

    /// Map `number` begins with its number.
    private func mapAll() throws -> GuestFile {
        let file = try GuestFile(pages: Int(Self.count))
        for number in 0..<Self.count {
            try memory.map(address(number), pages: 1, of: file, at: number * page)
            try memory.store(number, at: address(number))
        }
        return file
    }

    @Test func everyMapIsFoundAgainAndAgain() throws {
        _ = try mapAll()
        for _ in 0..<2 {
            for number in 0..<Self.count {
                #expect(try memory.load(UInt64.self, at: address(number)) == number)
                #expect(throws: DMAError.notMapped(address: address(number) + page)) {
                    try memory.load(UInt64.self, at: address(number) + page)
                }
            }
        }
    }

    @Test func aMapThatWasFoundIsGoneWhenItIsUnmapped() throws {
        _ = try mapAll()
        for number in 0..<Self.count { _ = try memory.load(UInt64.self, at: address(number)) }
        for number in stride(from: 0, to: Self.count, by: 3) {
            #expect(try memory.unmap(address(number), pages: 1) == .done)
        }
        for number in 0..<Self.count {
            if number % 3 == 0 {
                #expect(throws: DMAError.notMapped(address: address(number))) {
                    try memory.load(UInt64.self, at: address(number))
                }
            } else {
                #expect(try memory.load(UInt64.self, at: address(number)) == number)
            }
        }
    }

    @Test func aMapOfMorePagesThanTheCacheHasPlacesIsGoneWhenItIsUnmapped() throws {
        _ = try mapAll()
        let start = address(Self.count)
        let pages: UInt64 = 40_000
        try memory.map(start, pages: pages, of: try GuestFile(pages: Int(pages)))
        for number in 0..<pages { #expect(try memory.load(UInt8.self, at: start + number * page) == 0) }
        #expect(try memory.unmap(start, pages: pages) == .done)
        for number in 0..<pages {
            #expect(throws: DMAError.notMapped(address: start + number * page)) {
                try memory.load(UInt8.self, at: start + number * page)
            }
        }
    }
}
