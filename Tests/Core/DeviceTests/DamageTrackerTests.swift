import Linux
import Testing

@testable import Device

@Suite struct DamageTrackerTests {
    @Test func theFirstLookHasNothingToCompareWithAndTheNextFindsNothing() throws {
        let screen = try Screen(width: 100, height: 50)
        var tracker = DamageTracker()
        #expect(tracker.snapshot == nil)
        #expect(tracker.look(at: screen.picture) == nil)
        #expect(tracker.look(at: screen.picture) == [])
    }

    @Test func tilesAtTheEdgeAreCutToThePicture() throws {
        let screen = try Screen(width: 100, height: 50)
        var tracker = DamageTracker()
        _ = tracker.look(at: screen.picture)
        screen.draw(99, 49, 1)
        #expect(tracker.look(at: screen.picture) == [Rectangle(x: 64, y: 48, width: 36, height: 2)])
    }

    @Test func whatIsNotVisibleIsNoDamage() throws {
        let screen = try Screen(width: 100, height: 50)
        var tracker = DamageTracker()
        _ = tracker.look(at: screen.picture)
        screen.picture.memory.replace(at: 63, with: [UInt8(1)].span.bytes)
        screen.picture.memory.replace(at: 64 + 400, with: [UInt8(1)].span.bytes)
        #expect(tracker.look(at: screen.picture) == [])
    }

    @Test func adjacentTilesBecomeOneRectangle() throws {
        let screen = try Screen(width: 256, height: 64)
        var tracker = DamageTracker()
        _ = tracker.look(at: screen.picture)
        for y in 16..<48 { for x in 64..<192 { screen.draw(x, y, 1) } }
        #expect(tracker.look(at: screen.picture) == [Rectangle(x: 64, y: 16, width: 128, height: 32)])
    }

    @Test func aChangeThatIsTakenBackAfterALookIsSeen() throws {
        let screen = try Screen(width: 64, height: 16)
        var tracker = DamageTracker()
        _ = tracker.look(at: screen.picture)
        screen.draw(0, 0, 1)
        #expect(tracker.look(at: screen.picture)?.count == 1)
        screen.draw(0, 0, 0)
        #expect(tracker.look(at: screen.picture)?.count == 1)
    }

    @Test func flippingToABufferThatShowsTheSameIsNoDamage() throws {
        let front = try Screen(width: 100, height: 50)
        let back = try Screen(width: 100, height: 50)
        var tracker = DamageTracker()
        _ = tracker.look(at: front.picture)
        #expect(tracker.look(at: back.picture) == [])
        back.draw(0, 0, 1)
        #expect(tracker.look(at: back.picture) == [Rectangle(x: 0, y: 0, width: 64, height: 16)])
    }

    @Test func anotherShapeIsNotCompared() throws {
        let screen = try Screen(width: 100, height: 50)
        var others = [Scanout](repeating: screen.picture, count: 4)
        others[0].width = 99
        others[1].height = 49
        others[2].format = .bgrx8888
        others[3].palette = [1]
        for other in others {
            var tracker = DamageTracker()
            _ = tracker.look(at: screen.picture)
            #expect(tracker.look(at: other) == nil)
            #expect(tracker.look(at: other) == [])
        }
    }

    @Test func noPictureFreesTheCopy() throws {
        let screen = try Screen(width: 100, height: 50)
        var tracker = DamageTracker()
        _ = tracker.look(at: screen.picture)
        #expect(tracker.look(at: nil) == nil)
        #expect(tracker.snapshot == nil)
        #expect(tracker.look(at: screen.picture) == nil)
    }

    @Test func theSnapshotKeepsWhatWasSeen() throws {
        let screen = try Screen(width: 100, height: 50)
        var tracker = DamageTracker()
        _ = tracker.look(at: screen.picture)
        screen.draw(3, 4, 0xff)
        let before = try #require(tracker.snapshot)
        #expect(before.pixels[4][9] == 0)
        _ = tracker.look(at: screen.picture)
        #expect(tracker.snapshot?.pixels == screen.pixels)
    }

    @Test func manySmallChangesStayWithinTheMostRectangles() throws {
        let screen = try Screen(width: 1024, height: 129 * 16, format: .indexed8)
        var tracker = DamageTracker()
        _ = tracker.look(at: screen.picture)
        for band in 0..<129 {
            for x in stride(from: band % 2 * 64, to: 1024, by: 128) { screen.draw(x, band * 16, 1) }
        }
        let rectangles = tracker.look(at: screen.picture)
        #expect(rectangles == (0..<43).map { Rectangle(x: 0, y: $0 * 48, width: 1024, height: 48) })
    }

    /// Against a model that keeps every pixel: nothing is missed, nothing told twice, nothing told without need.
    @Test(arguments: [(64, 16), (65, 17), (200, 100), (1, 1), (1000, 300)], [1, 3, 40, 400])
    func damageIsThatOfANaiveModel(size: (Int, Int), changes: Int) throws {
        let screen = try Screen(width: size.0, height: size.1, format: .rgb565)
        var tracker = DamageTracker()
        var seed: UInt64 = 1
        func random(_ bound: Int) -> Int {
            seed = seed &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int(seed >> 33) % bound
        }
        _ = tracker.look(at: screen.picture)
        var before = screen.pixels
        for _ in 0..<4 {
            for _ in 0..<changes { screen.draw(random(size.0), random(size.1), UInt8(random(4))) }
            let now = screen.pixels
            let found = tracker.look(at: screen.picture)
            let rectangles = try #require(found)
            #expect(rectangles.count <= DamageWatch.maximumRectangles)
            var covered = Array(repeating: Array(repeating: 0, count: size.0), count: size.1)
            for rectangle in rectangles {
                try #require(rectangle.x >= 0 && rectangle.x + rectangle.width <= size.0 && rectangle.width > 0)
                try #require(rectangle.y >= 0 && rectangle.y + rectangle.height <= size.1 && rectangle.height > 0)
                for y in rectangle.y..<rectangle.y + rectangle.height {
                    for x in rectangle.x..<rectangle.x + rectangle.width { covered[y][x] += 1 }
                }
            }
            let tiles = changedTiles(before, now, size)
            var missed = 0
            var twice = 0
            var needless = 0
            for y in 0..<size.1 {
                for x in 0..<size.0 {
                    let changed = tiles.contains([x / 64, y / 16])
                    if changed && covered[y][x] == 0 { missed += 1 }
                    if covered[y][x] > 1 { twice += 1 }
                    if !changed && covered[y][x] > 0 { needless += 1 }
                }
            }
            #expect(missed == 0)
            #expect(twice == 0)
            // With too many runs for exact rectangles, strips are bounded roughly.
            if tiles.count <= DamageWatch.maximumRectangles { #expect(needless == 0) }
            before = now
        }
    }

    private func changedTiles(_ before: [[UInt8]], _ now: [[UInt8]], _ size: (Int, Int)) -> Set<[Int]> {
        var tiles: Set<[Int]> = []
        for y in 0..<size.1 where before[y] != now[y] {
            for x in 0..<size.0 where before[y][x * 3..<x * 3 + 3] != now[y][x * 3..<x * 3 + 3] {
                tiles.insert([x / 64, y / 16])
            }
        }
        return tiles
    }
}

/// A look that asks which pages were written.
struct WrittenPagesTests {
    /// Notes nothing by itself: it tells what it is told to.
    private final class Log: WriteLog {
        struct State {
            var asked: [Range<Int>] = []
            var stops = 0
            var ownWrites = 0
            var pages: [Int]? = []
        }

        let state = Locked(State())

        func takeWritten(_ range: Range<Int>) -> WrittenPages? {
            state.withLock { state in
                state.asked.append(range)
                return state.pages.map { pages in
                    WrittenPages([pages.reduce(0) { $0 | 1 << UInt64($1) }], firstPage: 0, pageSize: 4096)
                }
            }
        }

        func noteOwnWrite() { state.withLock { $0.ownWrites += 1 } }
        func stop() { state.withLock { $0.stops += 1 } }
    }

    private let log = Log()
    private let memory: MappedBytes
    private let picture: Scanout

    /// 16 lines of a page each, and what is above and below them.
    init() throws {
        let file = try MemoryFile(name: "screen", size: 18 * 4096)
        memory = MappedBytes(file.mapping, writes: log)
        picture = Scanout(width: 1024, height: 16, stride: 4096, format: .xrgb8888, memory: memory, offset: 4096)
    }

    private func draw(_ x: Int, _ line: Int) {
        memory.replace(at: 4096 * (1 + line) + 4 * x, with: [UInt8(1)].span.bytes)
    }

    @Test func onlyPagesThatWereWrittenAreRead() {
        var tracker = DamageTracker()
        _ = tracker.look(at: picture)
        // Of the second nobody says anything.
        draw(100, 3)
        draw(500, 9)
        log.state.withLock { $0.pages = [4] }
        #expect(tracker.look(at: picture) == [Rectangle(x: 64, y: 0, width: 64, height: 16)])
        log.state.withLock { $0.pages = nil }
        #expect(tracker.look(at: picture) == [Rectangle(x: 448, y: 0, width: 64, height: 16)])
        #expect(log.state.withLock(\.asked) == [4096..<17 * 4096, 4096..<17 * 4096])
    }

    @Test func nobodyIsAskedWhereAPictureWasNotBefore() {
        var tracker = DamageTracker()
        _ = tracker.look(at: picture)
        var flipped = picture
        flipped.offset = 8192
        log.state.withLock { $0.pages = [] }
        draw(0, 5)
        // The other buffer shows it a line further up.
        #expect(tracker.look(at: flipped)?.isEmpty == false)
        #expect(log.state.withLock(\.asked).isEmpty && log.state.withLock(\.stops) == 1)
    }

    @Test func whoeverLooksNoMoreSaysSo() {
        var tracker = DamageTracker()
        _ = tracker.look(at: picture)
        tracker.forget()
        #expect(log.state.withLock(\.stops) == 1)
        _ = tracker.look(at: nil)
        #expect(log.state.withLock(\.stops) == 1)
    }

    @Test func whatThisProcessWritesItSays() {
        draw(0, 0)
        memory.clear(at: 0, count: 8)
        memory.replace(at: 0, with: memory, at: 8, count: 8)
        memory.publish(1, at: 16)
        #expect(log.state.withLock(\.ownWrites) == 4)
    }

    @Test func pagesThatAreNotToldOfWereWritten() {
        let pages = WrittenPages([0b10], firstPage: 3, pageSize: 4096)
        #expect(!pages.touches(3 * 4096..<4 * 4096) && !pages.touches(0..<0))
        #expect(pages.touches(4 * 4096 - 1..<4 * 4096 + 1) && pages.touches(4 * 4096..<5 * 4096))
        #expect(!pages.touches(5 * 4096..<6 * 4096))
        #expect(pages.touches(2 * 4096..<2 * 4096 + 1) && pages.touches(67 * 4096..<67 * 4096 + 1))
    }
}
