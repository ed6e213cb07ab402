import GuestMemory
import Linux
import Testing
import SeededRandom

@Suite struct DirtyLogTests {
    let memory = AddressSpace()
    var log: DirtyLog { memory.dirtyLog }

    /// The dirty pages of a range, by number within the range.
    private func dirty(_ address: UInt64, _ size: UInt64, pageSize: UInt64 = page) throws -> [Int] {
        var bitmap = [UInt8](repeating: 0, count: Int(try DirtyLog.bitmapSize(size: size, pageSize: pageSize)))
        var span = bitmap.mutableSpan
        var bytes = span.mutableBytes
        try log.report(address: address, size: size, pageSize: pageSize, into: &bytes)
        return (0..<bitmap.count * 8).filter { bitmap[$0 / 8] & (1 << UInt8($0 % 8)) != 0 }
    }

    @Test func writesAreReportedOnce() throws {
        try memory.map(0, pages: 16, of: try GuestFile(pages: 16))
        try memory.store(UInt8(1), at: 0)
        try log.start(pageSize: page)
        try memory.store(UInt8(1), at: 3 * page)
        try memory.store(UInt64(1), at: 6 * page - 4)
        _ = try memory.load(UInt64.self, at: 9 * page)
        let pin = try memory.pin(address: 10 * page, size: 8, access: .write)
        try pin.store(UInt8(1), at: 10 * page)
        log.mark(address: 12 * page + 1, size: page)
        #expect(try dirty(0, 16 * page) == [3, 5, 6, 10, 12, 13])
        #expect(try dirty(0, 16 * page) == [])
    }

    @Test func writesByMessageAreLoggedToo() throws {
        try memory.map(0, pages: 2, of: FakeRemote(start: 0, pages: 2))
        try log.start(pageSize: page)
        try memory.store(UInt16(1), at: page)
        #expect(try dirty(0, 2 * page) == [1])
    }

    @Test func refusedWritesLeaveNoTrace() throws {
        try memory.map(0, pages: 1, of: try GuestFile(pages: 1), .read)
        try log.start(pageSize: page)
        #expect(throws: DMAError.self) { try memory.store(UInt16(1), at: 0) }
        #expect(throws: DMAError.self) { try memory.store(UInt16(1), at: page) }
        #expect(try dirty(0, 2 * page) == [])
    }

    @Test func onlyTheWatchedRangesAreLogged() throws {
        try log.start(
            pageSize: page,
            ranges: [.init(address: 8 * page, size: 2 * page), .init(address: 2 * page, size: page)])
        log.mark(address: 0, size: 32 * page)
        #expect(try dirty(0, 32 * page) == [2, 8, 9])
        log.mark(address: 3 * page, size: 5 * page)
        log.mark(address: 10 * page, size: page)
        #expect(try dirty(0, 32 * page) == [])
    }

    @Test func aLargerUnitOfReportMergesPages() throws {
        try log.start(pageSize: page)
        log.mark(address: 5 * page, size: 1)
        log.mark(address: 15 * page, size: 2 * page)
        #expect(try dirty(0, 32 * page, pageSize: 4 * page) == [1, 3, 4])
    }

    @Test func aSmallerUnitOfReportRepeatsPages() throws {
        try log.start(pageSize: 4 * page)
        log.mark(address: 5 * page, size: 1)
        #expect(try dirty(0, 32 * page) == [4, 5, 6, 7])
    }

    @Test func aPageThatWasReportedInPartStaysDirty() throws {
        try log.start(pageSize: 4 * page)
        log.mark(address: 4 * page, size: 1)
        #expect(try dirty(4 * page, 2 * page) == [0, 1])
        #expect(try dirty(6 * page, 2 * page) == [0, 1])
        #expect(try dirty(4 * page, 4 * page) == [0, 1, 2, 3])
        #expect(try dirty(0, 32 * page) == [])
    }

    @Test func aReportOnlySetsBits() throws {
        try log.start(pageSize: page)
        log.mark(address: page, size: 1)
        var bitmap: [UInt8] = [0x80, 0xFF]
        var span = bitmap.mutableSpan
        var bytes = span.mutableBytes
        try log.report(address: 0, size: 8 * page, pageSize: page, into: &bytes)
        #expect(bitmap == [0x82, 0xFF])
    }

    @Test func aReportLeavesOtherRangesAlone() throws {
        try log.start(pageSize: page)
        log.mark(address: 0, size: 8 * page)
        #expect(try dirty(2 * page, 2 * page) == [0, 1])
        #expect(try dirty(0, 8 * page) == [0, 1, 4, 5, 6, 7])
    }

    @Test func thePagesOfAMapCanBeTakenBeforeItGoes() throws {
        try memory.map(4 * page, pages: 4, of: try GuestFile(pages: 4))
        try log.start(pageSize: page)
        try memory.store(UInt8(1), at: 6 * page)
        #expect(try dirty(4 * page, 4 * page) == [2])
        #expect(try memory.unmap(4 * page, pages: 4) == .done)
        #expect(try dirty(0, 16 * page) == [])
    }

    @Test func theTopOfTheAddressSpaceIsLogged() throws {
        let top = UInt64.max - (page - 1)
        try log.start(pageSize: page, ranges: [.init(address: top, size: page)])
        log.mark(address: top + 5, size: .max)
        #expect(try dirty(top - page, 2 * page) == [1])
    }

    @Test func startingTwiceIsInvalid() throws {
        try log.start(pageSize: page)
        #expect(throws: DirtyLogError.started) { try log.start(pageSize: page) }
        #expect(DirtyLogError.started.errno == .invalidArgument)
    }

    @Test func nothingIsReportedUnlessStarted() throws {
        #expect(throws: DirtyLogError.notStarted) { try dirty(0, page) }
        try log.start(pageSize: page)
        log.mark(address: 0, size: page)
        log.stop()
        log.stop()
        #expect(!log.isStarted)
        #expect(throws: DirtyLogError.notStarted) { try dirty(0, page) }
        try log.start(pageSize: page)
        #expect(try dirty(0, page) == [])
    }

    @Test(arguments: [0, 1, 2048, 4095, 6144, UInt64.max] as [UInt64])
    func pageSizesMustBePowersOfTwoFrom4096On(size: UInt64) throws {
        #expect(throws: DirtyLogError.invalidPageSize(size)) { try log.start(pageSize: size) }
        try log.start(pageSize: page)
        var bitmap: [UInt8] = [0]
        var span = bitmap.mutableSpan
        var bytes = span.mutableBytes
        #expect(throws: DirtyLogError.invalidPageSize(size)) {
            try log.report(address: 0, size: page, pageSize: size, into: &bytes)
        }
        #expect(throws: DirtyLogError.invalidPageSize(size)) { try DirtyLog.bitmapSize(size: page, pageSize: size) }
    }

    @Test func badRangesAreRefusedAndNothingStarts() throws {
        let cases: [([DirtyLog.WatchedRange], DirtyLogError)] = [
            ([.init(address: 0, size: 0)], .invalidRange(address: 0, size: 0)),
            ([.init(address: 1, size: page)], .invalidRange(address: 1, size: page)),
            ([.init(address: 0, size: page + 1)], .invalidRange(address: 0, size: page + 1)),
            (
                [.init(address: 2 * page, size: UInt64.max - (page - 1))],
                .overflow(address: 2 * page, size: UInt64.max - (page - 1))
            ),
            (
                [.init(address: 4 * page, size: 2 * page), .init(address: 0, size: 5 * page)],
                .overlap(address: 4 * page)
            ),
            ([.init(address: 0, size: page), .init(address: 0, size: page)], .overlap(address: 0)),
        ]
        for (ranges, error) in cases {
            #expect(throws: error) { try log.start(pageSize: page, ranges: ranges) }
        }
        #expect(!log.isStarted)
        // One that ends at 2^64 is a range like any other.
        try log.start(pageSize: page, ranges: [.init(address: page, size: UInt64.max - (page - 1))])
    }

    @Test func badReportsAreRefused() throws {
        try log.start(pageSize: page)
        var bitmap: [UInt8] = [0]
        var span = bitmap.mutableSpan
        var bytes = span.mutableBytes
        #expect(throws: DirtyLogError.invalidRange(address: 0, size: 0)) {
            try log.report(address: 0, size: 0, pageSize: page, into: &bytes)
        }
        #expect(throws: DirtyLogError.overflow(address: 8192, size: .max)) {
            try log.report(address: 8192, size: .max, pageSize: page, into: &bytes)
        }
        #expect(throws: DirtyLogError.bitmapTooSmall(bytes: 1, needed: 2)) {
            try log.report(address: 0, size: 9 * page, pageSize: page, into: &bytes)
        }
        #expect(DirtyLogError.overflow(address: 0, size: 0).errno == .overflow)
    }

    @Test func bitmapsAreWholeWords() throws {
        #expect(try DirtyLog.bitmapSize(size: 0, pageSize: page) == 0)
        #expect(try DirtyLog.bitmapSize(size: 1, pageSize: page) == 8)
        #expect(try DirtyLog.bitmapSize(size: 64 * page, pageSize: page) == 8)
        #expect(try DirtyLog.bitmapSize(size: 64 * page + 1, pageSize: page) == 16)
        #expect(try DirtyLog.bitmapSize(size: .max, pageSize: page) == 1 << 49)
    }

    @Test func aHugeRangeTakesBoundedMemoryAndIsReportedInFull() throws {
        try log.start(pageSize: page, ranges: [.init(address: 0, size: 1 << 63)])
        log.mark(address: 0, size: .max)
        #expect(try dirty(1 << 62, 4 * page) == [0, 1, 2, 3])
        #expect(try dirty(1 << 62, 4 * page) == [0, 1, 2, 3], "it has lost count, and says so")
        #expect(try dirty((1 << 63) - page, 4 * page) == [0])
        #expect(try dirty(1 << 40, 1 << 62, pageSize: 1 << 60) == [0, 1, 2, 3])
        log.stop()
        try log.start(pageSize: page)
        #expect(try dirty(1 << 62, 4 * page) == [])
    }

    @Test func aReportOfAHugeRangeLooksOnlyAtWhatWasWritten() throws {
        try log.start(pageSize: page)
        log.mark(address: 1 << 50, size: 1)
        log.mark(address: (1 << 63) - 1, size: 1)
        #expect(try dirty(0, 1 << 63, pageSize: 1 << 49) == [2, (1 << 14) - 1])
    }

    @Test(arguments: [4096, 8192, 65_536, 2 << 20] as [UInt64])
    func randomMarksAndReportsAgreeWithAPlainSet(logged: UInt64) throws {
        var random = SplitMix(seed: logged)
        // Two leaves of the log at 4 KiB, seen from the middle.
        let space: UInt64 = 256 << 20
        let base = UInt64.random(in: 0...1 << 20, using: &random) << 24
        let watched = DirtyLog.WatchedRange(address: base + (32 << 20), size: 192 << 20)
        try log.start(pageSize: logged, ranges: [watched])
        var model: Set<UInt64> = []
        for _ in 0..<400 {
            for _ in 0..<Int.random(in: 0...6, using: &random) {
                let start = base + UInt64.random(in: 0..<space, using: &random)
                let size = UInt64.random(in: 1...1 << UInt64.random(in: 0...20, using: &random), using: &random)
                log.mark(address: start, size: size)
                for number in start / logged...(start + size - 1) / logged
                where watched.address <= number * logged && number * logged < watched.address + watched.size {
                    model.insert(number)
                }
            }
            let unit = page << UInt64.random(in: 0...8, using: &random)
            let start = base + UInt64.random(in: 0..<space / page, using: &random) * page
            let size = UInt64.random(in: 1...64 << 20, using: &random)
            var expected: Set<Int> = []
            for number in model {
                let low = max(number * logged, start)
                let high = min((number + 1) * logged, start + size)
                guard low < high else { continue }
                expected.formUnion(Int((low - start) / unit)...Int((high - 1 - start) / unit))
            }
            model = model.filter { $0 * logged < start || ($0 + 1) * logged > start + size }
            #expect(try dirty(start, size, pageSize: unit) == expected.sorted())
        }
    }
}
