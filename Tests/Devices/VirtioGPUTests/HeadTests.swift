import CLinux
import Device
import Display
import Testing

@testable import VirtioGPU

/// What heads show: parts of resources, changes, cursors.
@Suite struct HeadTests {
    /// A driver with a resource 1 of 8 by 6 pixels, each of which is 8 times its line plus its column.
    private func drawn() throws -> Driver {
        let driver = try Driver()
        driver.fill(from: 0, pixels: 48)
        driver.create(1, 8, 6)
        driver.attach(1, [(0, 192)])
        driver.transfer(1, [0, 0, 8, 6])
        return driver
    }

    // MARK: Scanouts

    @Test func aHeadShowsAPartOfAResource() throws {
        let driver = try drawn()
        #expect(driver.picture() == nil)
        #expect(driver.show(1, [2, 1, 3, 2]) == Answered.done)
        #expect(driver.picture() == [[10, 11, 12], [18, 19, 20]])
        #expect(driver.picture(1) == nil)
        #expect(driver.show(1, [7, 5, 1, 1], at: 1) == Answered.done)
        #expect(driver.picture(1) == [[47]])
        #expect(driver.picture() == [[10, 11, 12], [18, 19, 20]], "one resource on two heads")
    }

    @Test func resourceZeroTurnsAHeadOff() throws {
        let driver = try drawn()
        driver.show(1, [0, 0, 8, 6])
        driver.show(1, [0, 0, 8, 6], at: 1)
        #expect(driver.show(0, [9, 9, 0, 0]) == Answered.done)
        #expect(driver.picture() == nil)
        #expect(driver.picture(1) != nil)
    }

    @Test func aResourceThatGoesTurnsItsHeadsOff() throws {
        let driver = try drawn()
        driver.create(2, 1, 1)
        driver.show(1, [0, 0, 8, 6])
        driver.show(2, [0, 0, 1, 1], at: 1)
        driver.unref(1)
        #expect(driver.picture() == nil)
        #expect(driver.picture(1) != nil)
        driver.create(1, 8, 6)
        #expect(driver.picture() == nil, "another resource of the same number")
    }

    @Test func aScanoutThatCanNotBeIsRefusedAndTheOldOneStays() throws {
        let driver = try drawn()
        driver.show(1, [0, 0, 1, 1])
        for area in [
            [0, 0, 9, 1], [0, 0, 1, 7], [8, 0, 1, 1], [0, 6, 1, 1], [0, 0, 0, 6], [0, 0, 8, 0], [1, 0, .max, 1],
            [.max, .max, .max, .max],
        ] as [[UInt32]] {
            #expect(driver.show(1, area) == Answered.invalidParameter, "\(area)")
        }
        #expect(driver.show(1, [0, 0, 1, 1], at: 2) == Answered.invalidScanout)
        #expect(driver.show(0, [0, 0, 1, 1], at: .max) == Answered.invalidScanout)
        #expect(driver.show(2, [0, 0, 1, 1]) == Answered.invalidResource)
        #expect(driver.picture() == [[0]])
    }

    // MARK: Damage

    @Test func aFlushTellsWhatChangedInEachHead() throws {
        let driver = try drawn()
        let heads = driver.processor.heads.all
        driver.show(1, [0, 0, 4, 6])
        driver.show(1, [4, 2, 4, 4], at: 1)
        let watches = heads.map { $0.watchDamage() }
        #expect(watches[0].take() == [Rectangle(x: 0, y: 0, width: 4, height: 6)])
        #expect(watches[1].take() == [Rectangle(x: 0, y: 0, width: 4, height: 4)])
        #expect(driver.flush(1, [3, 1, 2, 2]) == Answered.done)
        #expect(watches[0].take() == [Rectangle(x: 3, y: 1, width: 1, height: 2)])
        #expect(watches[1].take() == [Rectangle(x: 0, y: 0, width: 1, height: 1)])
        #expect(watches[0].take().isEmpty)
        driver.transfer(1, [0, 0, 8, 6])
        #expect(watches[0].take().isEmpty, "not before a flush")
        driver.flush(1, [0, 0, 0, 0])
        #expect(watches[0].take().isEmpty)
        driver.show(1, [0, 0, 4, 6])
        #expect(watches[0].take().isEmpty, "nothing has changed")
    }

    @Test func eachWhoWatchesAHeadIsToldOfEachFlush() throws {
        let driver = try drawn()
        driver.show(1, [0, 0, 8, 6])
        let whole = Rectangle(x: 0, y: 0, width: 8, height: 6)
        let watches = (0..<2).map { _ in driver.processor.heads[0].watchDamage() }
        for watch in watches { #expect(watch.take() == [whole]) }
        driver.flush(1, [0, 0, 1, 1])
        #expect(watches[0].take() == [Rectangle(x: 0, y: 0, width: 1, height: 1)])
        driver.flush(1, [5, 5, 2, 1])
        #expect(watches[0].take() == [Rectangle(x: 5, y: 5, width: 2, height: 1)])
        let late = driver.processor.heads[0].watchDamage()
        #expect(late.take() == [whole])
        #expect(
            watches[1].take() == [
                Rectangle(x: 0, y: 0, width: 1, height: 1), Rectangle(x: 5, y: 5, width: 2, height: 1),
            ])
    }

    @Test func aFlushOutsideTheResourceIsRefused() throws {
        let driver = try drawn()
        for area in [[0, 0, 9, 1], [0, 0, 1, 7], [.max, 0, 1, 1], [1, 1, .max, .max]] as [[UInt32]] {
            #expect(driver.flush(1, area) == Answered.invalidParameter)
        }
    }

    @Test func anotherPictureIsAllDamage() throws {
        let driver = try drawn()
        let head = driver.processor.heads[0]
        driver.show(1, [0, 0, 4, 4])
        let watch = head.watchDamage()
        _ = watch.take()
        driver.show(1, [1, 0, 4, 4])
        #expect(watch.take() == [Rectangle(x: 0, y: 0, width: 4, height: 4)])
        driver.show(0, [0, 0, 0, 0])
        #expect(watch.take().isEmpty)
    }

    @Test func withoutAMonitorNothingIsShown() throws {
        let driver = try drawn()
        let head = driver.processor.heads[0]
        let watch = head.watchDamage()
        driver.show(1, [0, 0, 4, 4])
        #expect(head.plug(nil))
        #expect(head.scanout == nil)
        driver.flush(1, [0, 0, 4, 4])
        #expect(watch.take().isEmpty)
        #expect(!head.plug(nil), "it was gone already")
        #expect(head.plug(try Resolution("1024x768")))
        #expect(driver.picture() != nil)
        #expect(watch.take() == [Rectangle(x: 0, y: 0, width: 4, height: 4)])
        #expect(!head.plug(try Resolution("1024x768")))
    }

    // MARK: Blobs

    @Test func aBlobIsShownAsOfTheLastFlush() throws {
        let driver = try Driver()
        driver.fill(from: 0, pixels: 100, seed: 1)
        driver.createBlob(1, size: 400, [(200, 200), (0, 200)])
        // Lines of ten pixels, of which eight are visible; the first begins at pixel 2.
        #expect(driver.showBlob(1, [1, 1, 3, 2], width: 8, height: 9, stride: 40, offset: 8) == Answered.done)
        #expect(driver.picture() == [[0, 0, 0], [0, 0, 0]])
        #expect(driver.flush(1, [0, 0, 8, 9]) == Answered.done)
        #expect(driver.picture() == [[64, 65, 66], [74, 75, 76]])
        driver.fill(from: 0, pixels: 100, seed: 1000)
        #expect(driver.picture()?[0][0] == 64)
        #expect(driver.flush(1, [3, 2, 100, 100]) == Answered.done)
        #expect(driver.picture() == [[64, 65, 66], [74, 75, 1075]])
        let watch = driver.processor.heads[0].watchDamage()
        _ = watch.take()
        driver.flush(1, [0, 0, 2, 2])
        #expect(watch.take() == [Rectangle(x: 0, y: 0, width: 1, height: 1)])
    }

    @Test func aBlobOnTwoHeadsIsCopiedForBoth() throws {
        let driver = try Driver()
        driver.fill(from: 0, pixels: 16)
        driver.createBlob(1, size: 64, [(0, 64)])
        driver.showBlob(1, [0, 0, 4, 4], width: 4, height: 4, stride: 16)
        driver.showBlob(1, [2, 2, 2, 2], at: 1, width: 4, height: 4, stride: 16)
        driver.flush(1, [0, 0, 4, 4])
        #expect(driver.picture() == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11], [12, 13, 14, 15]])
        #expect(driver.picture(1) == [[10, 11], [14, 15]])
    }

    @Test func aBlobThatDoesNotHoldThePictureIsRefused() throws {
        let driver = try Driver()
        driver.createBlob(1, size: 64, [(0, 64)])
        driver.create(2, 4, 4)
        func show(
            _ id: UInt32 = 1, _ area: [UInt32] = [0, 0, 4, 4], at head: UInt32 = 0, width: UInt32 = 4,
            height: UInt32 = 4, format: UInt32 = 2, stride: UInt32 = 16, offset: UInt32 = 0
        ) -> UInt32? {
            driver.showBlob(
                id, area, at: head, width: width, height: height, format: format, stride: stride, offset: offset)
        }
        #expect(show(height: 5) == Answered.invalidParameter)
        #expect(show(offset: 4) == Answered.invalidParameter)
        #expect(show(stride: 17) == Answered.invalidParameter)
        #expect(show(stride: 15) == Answered.invalidParameter)
        #expect(show(format: 5) == Answered.invalidParameter)
        #expect(show(width: .max, height: .max, stride: .max, offset: .max) == Answered.invalidParameter)
        #expect(show(1, [0, 0, 5, 4]) == Answered.invalidParameter)
        #expect(show(1, [0, 0, 0, 4]) == Answered.invalidParameter)
        #expect(show(1, [0, 0, 1, 1], width: 0, height: 0) == Answered.invalidParameter)
        #expect(show(2) == Answered.invalidResource, "no blob")
        #expect(driver.show(1, [0, 0, 4, 4]) == Answered.invalidResource, "a blob has no format of its own")
        #expect(show(3) == Answered.invalidResource)
        #expect(show(at: 2) == Answered.invalidScanout)
        #expect(show(1, [0, 0, 4, 3], height: 3, offset: 16) == Answered.done)
        #expect(show(0) == Answered.done)
        #expect(driver.picture() == nil)
    }

    @Test func aBlobWhoseMemoryIsAwayCanNotBeFlushed() throws {
        let driver = try Driver()
        driver.createBlob(1, size: 64, [])
        driver.showBlob(1, [0, 0, 4, 4], width: 4, height: 4, stride: 16)
        #expect(driver.flush(1, [0, 0, 4, 4]) == Answered.unspecified)
        driver.attach(1, [(0, 32)])
        #expect(driver.flush(1, [0, 0, 4, 4]) == Answered.invalidParameter)
        #expect(driver.flush(1, [0, 0, 4, 2]) == Answered.done)
    }

    @Test func copiesOfBlobsCountAgainstTheQuotaAndAreFreed() throws {
        let driver = try Driver(vram: 8192)
        driver.fill(from: 0, pixels: 1024, seed: 5)
        for id in 1...2 as ClosedRange<UInt32> { driver.createBlob(id, size: 4096, [(0, 4096)]) }
        for _ in 0..<4 {
            for id in 1...2 as ClosedRange<UInt32> {
                let flipped = driver.showBlob(id, [0, 0, 32, 32], width: 32, height: 32, stride: 128)
                #expect(flipped == Answered.done)
            }
        }
        #expect(driver.create(3, 1, 1) == Answered.done)
        #expect(driver.showBlob(1, [0, 0, 32, 32], at: 1, width: 32, height: 32, stride: 128) == Answered.outOfMemory)
        driver.unref(2)
        #expect(driver.picture() == nil)
        #expect(driver.showBlob(1, [0, 0, 32, 32], at: 1, width: 32, height: 32, stride: 128) == Answered.done)
        #expect(driver.showBlob(1, [0, 0, 16, 32], at: 1, width: 32, height: 32, stride: 128) == Answered.outOfMemory)
        #expect(driver.picture(1)?.count == 32)
    }

    // MARK: Cursors

    /// Makes resource 9 a cursor's image: the numbers from `seed` on.
    private func drawCursor(_ driver: Driver, format: UInt32 = 1, seed: UInt32 = 0) {
        driver.fill(from: 0, pixels: 64 * 64, seed: seed)
        driver.create(9, 64, 64, format: format)
        driver.attach(9, [(0, 64 * 64 * 4)])
        driver.transfer(9, [0, 0, 64, 64])
    }

    @Test func aCursorHasAnImageAPlaceAndAHotSpot() throws {
        let driver = try Driver()
        #expect(driver.processor.heads[1].cursor == nil)
        drawCursor(driver)
        #expect(driver.point(9, at: 1, x: -5, y: 700, hotX: 3, hotY: .max) == Answered.done)
        let cursor = try #require(driver.processor.heads[1].cursor)
        #expect((cursor.x, cursor.y, cursor.hotX, cursor.hotY) == (-5, 700, 3, 63))
        #expect((cursor.image.width, cursor.image.height, cursor.image.format) == (64, 64, .argb8888))
        #expect(Array(driver.pixels(cursor.image).joined()) == Array(0..<4096))
        #expect(driver.processor.heads[0].cursor == nil)
        driver.unref(9)
        #expect(Array(driver.pixels(cursor.image).joined()) == Array(0..<4096), "it is a copy")
    }

    @Test func movingChangesThePlaceAlone() throws {
        let driver = try Driver()
        drawCursor(driver)
        let move = { driver.send(VIRTIO_GPU_CMD_MOVE_CURSOR, wire([$0, 70, 80, 0, 0, 9, 9, 0]), from: .cursor) }
        #expect(move(0) == Answered.done)
        #expect(driver.processor.heads[0].cursor == nil, "there is none to move")
        driver.point(9, x: 1, y: 2, hotX: 3, hotY: 4)
        #expect(move(0) == Answered.done)
        let cursor = try #require(driver.processor.heads[0].cursor)
        #expect((cursor.x, cursor.y, cursor.hotX, cursor.hotY) == (70, 80, 3, 4))
        #expect(move(2) == Answered.invalidScanout)
    }

    @Test func resourceZeroHidesTheCursor() throws {
        let driver = try Driver()
        drawCursor(driver)
        driver.point(9)
        #expect(driver.point(0) == Answered.done)
        #expect(driver.processor.heads[0].cursor == nil)
    }

    @Test func whatIsNoCursorIsRefusedAndTheOldOneStays() throws {
        let driver = try Driver()
        drawCursor(driver)
        driver.point(9, x: 7)
        driver.create(1, 64, 63)
        driver.create(2, 65, 64)
        driver.createBlob(3, size: 16383, [(0, 16383)])
        driver.createBlob(4, size: 16384, [])
        #expect(driver.point(1) == Answered.invalidParameter)
        #expect(driver.point(2) == Answered.invalidParameter)
        #expect(driver.point(3) == Answered.invalidParameter)
        #expect(driver.point(4) == Answered.unspecified)
        #expect(driver.point(5) == Answered.invalidResource)
        #expect(driver.point(9, at: 2) == Answered.invalidScanout)
        #expect(driver.processor.heads[0].cursor?.x == 7)
    }

    @Test(arguments: ResourceTests.formats) func anImageOfAnyFormatBecomesOne(number: UInt32, format: PixelFormat)
        throws
    {
        let driver = try Driver()
        // In memory: 1, 2, 3, 4.
        driver.put(wire([UInt32](repeating: 0x0403_0201, count: 4096)), at: 0)
        driver.create(9, 64, 64, format: number)
        driver.attach(9, [(0, 16384)])
        driver.transfer(9, [0, 0, 64, 64])
        driver.point(9)
        let expected: [PixelFormat: UInt32] = [
            .argb8888: 0x0403_0201, .xrgb8888: 0x0403_0201, .bgra8888: 0x0102_0304, .bgrx8888: 0x0102_0304,
            .abgr8888: 0x0401_0203, .xbgr8888: 0x0401_0203, .rgba8888: 0x0104_0302, .rgbx8888: 0x0104_0302,
        ]
        let image = try #require(driver.processor.heads[0].cursor?.image)
        #expect(driver.pixels(image).joined().allSatisfy { $0 == expected[format] })
    }

    @Test func aBlobCanBeACursor() throws {
        let driver = try Driver()
        driver.fill(from: 0, pixels: 4096, seed: 3)
        driver.createBlob(9, size: 16384, [(0, 16384)])
        #expect(driver.point(9) == Answered.done)
        let image = try #require(driver.processor.heads[0].cursor?.image)
        #expect(Array(driver.pixels(image).joined()) == Array(3..<4099))
    }
}
