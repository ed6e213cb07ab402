import CLinux
import Device
import Testing

@testable import VirtioGPU

/// Resources, what is behind them, and the way of pixels into them.
@Suite struct ResourceTests {
    // MARK: Making them

    static let formats: [(UInt32, PixelFormat)] = [
        (1, .argb8888), (2, .xrgb8888), (3, .bgra8888), (4, .bgrx8888), (67, .abgr8888), (68, .rgbx8888),
        (121, .rgba8888), (134, .xbgr8888),
    ]

    @Test(arguments: formats) func everyFormatIsShownInItsColours(number: UInt32, format: PixelFormat) throws {
        let driver = try Driver()
        #expect(driver.create(1, 1, 1, format: number) == Answered.done)
        // Where the number's name has each colour in memory.
        let layout: [UInt32: [UInt8]] = [
            1: [3, 2, 1, 4], 2: [3, 2, 1, 4], 3: [4, 1, 2, 3], 4: [4, 1, 2, 3], 67: [1, 2, 3, 4], 68: [4, 3, 2, 1],
            121: [4, 3, 2, 1], 134: [1, 2, 3, 4],
        ]
        driver.put(try #require(layout[number]), at: 0)
        driver.attach(1, [(0, 4)])
        driver.transfer(1, [0, 0, 1, 1])
        driver.show(1, [0, 0, 1, 1])
        let scanout = try #require(driver.processor.heads[0].scanout)
        #expect(scanout.format == format)
        var row: [UInt8] = [0, 0, 0]
        var span = row.mutableSpan
        scanout.rgbRow(0, into: &span)
        #expect(row == [1, 2, 3], "red, green, blue")
    }

    @Test func aPictureThatCanNotBeIsRefused() throws {
        let driver = try Driver()
        for format in [0, 5, 66, 69, 120, 122, 133, 135, .max] as [UInt32] {
            #expect(driver.create(1, 4, 4, format: format) == Answered.invalidParameter)
        }
        for size in [(0, 4), (4, 0), (16385, 1), (1, 16385), (.max, .max), (1 << 31, 1 << 31)] as [(UInt32, UInt32)] {
            #expect(driver.create(1, size.0, size.1) == Answered.invalidParameter)
        }
        #expect(driver.create(0, 4, 4) == Answered.invalidResource)
        #expect(driver.create(1, 4, 4) == Answered.done)
        #expect(driver.create(1, 4, 4) == Answered.invalidResource)
    }

    @Test func picturesTakeNoMoreThanTheQuota() throws {
        let driver = try Driver(vram: 64 << 10)
        #expect(driver.create(1, 128, 96) == Answered.done)
        #expect(driver.create(2, 64, 65) == Answered.outOfMemory)
        #expect(driver.create(2, 64, 64) == Answered.done)
        #expect(driver.create(3, 1, 1) == Answered.outOfMemory)
        driver.unref(1)
        #expect(driver.create(3, 16384, 1) == Answered.outOfMemory)
        #expect(driver.create(3, 12288, 1) == Answered.done)
        driver.unref(2)
        driver.unref(3)
        #expect(driver.create(4, 16384, 1) == Answered.done, "what was freed is one piece again")
    }

    @Test func thereAreNoMoreThanSoManyResources() throws {
        let driver = try Driver(vram: 32 << 20)
        for id in 1...UInt32(Resource.maximumCount) {
            guard driver.create(id, 1, 1) == Answered.done else {
                Issue.record("resource \(id)")
                return
            }
        }
        #expect(driver.create(.max, 1, 1) == Answered.outOfMemory)
        #expect(driver.createBlob(.max, size: 1, []) == Answered.outOfMemory)
        driver.unref(77)
        #expect(driver.create(.max, 1, 1) == Answered.done)
    }

    @Test func aNewPictureIsBlack() throws {
        let driver = try Driver(vram: 4096)
        driver.fill(from: 0, pixels: 16, seed: 1)
        driver.create(1, 4, 4)
        driver.attach(1, [(0, 64)])
        driver.transfer(1, [0, 0, 4, 4])
        driver.unref(1)
        driver.create(2, 4, 4)
        driver.show(2, [0, 0, 4, 4])
        #expect(driver.picture()?.joined().allSatisfy { $0 == 0 } == true)
    }

    @Test func whatIsNotThereIsRefused() throws {
        let driver = try Driver()
        for id in [0, 1, UInt32.max] {
            #expect(driver.unref(id) == Answered.invalidResource)
            #expect(driver.attach(id, [(0, 4096)]) == Answered.invalidResource)
            #expect(driver.send(VIRTIO_GPU_CMD_RESOURCE_DETACH_BACKING, wire([id, 0])) == Answered.invalidResource)
            #expect(driver.transfer(id, [0, 0, 1, 1]) == Answered.invalidResource)
            #expect(driver.flush(id, [0, 0, 1, 1]) == Answered.invalidResource)
            #expect(driver.send(VIRTIO_GPU_CMD_RESOURCE_ASSIGN_UUID, wire([id, 0])) == Answered.invalidResource)
        }
        #expect(driver.show(1, [0, 0, 1, 1]) == Answered.invalidResource)
        #expect(driver.point(1) == Answered.invalidResource)
    }

    @Test func aResourceKeepsItsUUID() throws {
        let driver = try Driver()
        driver.create(1, 1, 1)
        driver.create(2, 1, 1)
        func uuid(_ id: UInt32) -> [UInt8]? {
            driver.send(header(VIRTIO_GPU_CMD_RESOURCE_ASSIGN_UUID) + wire([id, 0]))?.payload
        }
        let first = try #require(uuid(1))
        #expect(first.count == 16)
        #expect(first[6] >> 4 == 4 && first[8] >> 6 == 2)
        #expect(uuid(1) == first)
        #expect(uuid(2) != first)
    }

    // MARK: Backing

    @Test func pixelsComeFromPiecesInTheirOrder() throws {
        let driver = try Driver()
        driver.fill(from: 0x100, pixels: 8, seed: 100)
        driver.fill(from: 0x1000, pixels: 8, seed: 200)
        driver.create(1, 4, 4)
        // The first ends in the middle of a pixel, and one is empty.
        #expect(driver.attach(1, [(0x1000, 30), (0x50, 0), (0x101, 34)]) == Answered.done)
        #expect(driver.transfer(1, [0, 0, 4, 4]) == Answered.done)
        driver.show(1, [0, 0, 4, 4])
        let picture = try #require(driver.picture())
        #expect(Array(picture[0] + picture[1])[..<7] == [200, 201, 202, 203, 204, 205, 206])
        #expect(picture[1][3] == 0x0000_00cf, "two bytes of each piece")
    }

    @Test func aTransferTakesLinesOfTheResourcesWidth() throws {
        let driver = try Driver()
        driver.fill(from: 0, pixels: 64)
        driver.create(1, 8, 4)
        driver.attach(1, [(0, 256)])
        driver.show(1, [0, 0, 8, 4])
        // As Linux does: the offset is that of the first pixel.
        #expect(driver.transfer(1, [2, 1, 3, 2], offset: (8 + 2) * 4) == Answered.done)
        let expected: [[UInt32]] = [
            [0, 0, 0, 0, 0, 0, 0, 0], [0, 0, 10, 11, 12, 0, 0, 0], [0, 0, 18, 19, 20, 0, 0, 0],
            [0, 0, 0, 0, 0, 0, 0, 0],
        ]
        #expect(driver.picture() == expected)
        // Whole lines, from another place.
        #expect(driver.transfer(1, [0, 3, 8, 1], offset: 40 * 4) == Answered.done)
        #expect(driver.picture()?[3] == Array(40..<48))
    }

    @Test func aTransferOutsideIsRefusedAndChangesNothing() throws {
        let driver = try Driver()
        driver.fill(from: 0, pixels: 64, seed: 1)
        driver.create(1, 4, 4)
        #expect(driver.transfer(1, [0, 0, 4, 4]) == Answered.unspecified, "there is nothing to take it from")
        driver.attach(1, [(0, 64)])
        driver.show(1, [0, 0, 4, 4])
        for area in [
            [0, 0, 5, 1], [0, 0, 1, 5], [4, 0, 1, 1], [0, 4, 1, 1], [.max, 0, 1, 1], [1, 0, .max, 1],
            [0, .max, 1, .max], [5, 0, 0, 0],
        ] as [[UInt32]] {
            #expect(driver.transfer(1, area) == Answered.invalidParameter, "\(area)")
        }
        for offset in [4, 64, 65, .max, .max - 63] as [UInt64] {
            #expect(driver.transfer(1, [0, 0, 4, 4], offset: offset) == Answered.invalidParameter, "\(offset)")
            #expect(
                driver.transfer(1, [0, 0, 3, 4], offset: offset + (offset == 4 ? 4 : 0)) == Answered.invalidParameter)
        }
        #expect(driver.picture()?.joined().allSatisfy { $0 == 0 } == true)
        #expect(driver.transfer(1, [0, 0, 0, 0], offset: .max) == Answered.done, "nothing of it is used")
        #expect(driver.transfer(1, [3, 3, 1, 1], offset: 60) == Answered.done)
    }

    @Test func guestMemoryThatIsNotThereIsRefused() throws {
        let driver = try Driver()
        driver.create(1, 4, 4)
        #expect(driver.attach(1, [(Driver.memorySize - 32, 64)]) == Answered.done)
        #expect(driver.transfer(1, [0, 0, 4, 4]) == Answered.unspecified)
        #expect(driver.transfer(1, [0, 0, 4, 2]) == Answered.done)
    }

    @Test func backingIsAttachedOnceAndDetachedOnce() throws {
        let driver = try Driver()
        driver.create(1, 4, 4)
        let detach = { driver.send(VIRTIO_GPU_CMD_RESOURCE_DETACH_BACKING, wire([1, 0])) }
        #expect(detach() == Answered.unspecified)
        #expect(driver.attach(1, [(0, 64)]) == Answered.done)
        #expect(driver.attach(1, [(0, 64)]) == Answered.unspecified)
        #expect(detach() == Answered.done)
        #expect(driver.transfer(1, [0, 0, 4, 4]) == Answered.unspecified)
        #expect(driver.attach(1, []) == Answered.done)
        #expect(driver.transfer(1, [0, 0, 4, 4]) == Answered.invalidParameter)
    }

    @Test func entriesThatCanNotBeAreRefused() throws {
        let driver = try Driver()
        driver.create(1, 4, 4)
        func attach(_ count: UInt32, _ entries: [UInt8]) -> UInt32? {
            driver.send(VIRTIO_GPU_CMD_RESOURCE_ATTACH_BACKING, wire([1, count]) + entries)
        }
        let entry = wire(UInt64(0x1000)) + wire([64, 0])
        #expect(attach(2, entry) == Answered.unspecified, "one is missing")
        #expect(attach(1, Array(entry.dropLast())) == Answered.unspecified)
        #expect(attach(1, wire(UInt64.max) + wire([2, 0])) == Answered.invalidParameter)
        #expect(attach(65537, entry) == Answered.outOfMemory)
        #expect(attach(.max, entry) == Answered.outOfMemory)
        #expect(attach(1, wire(UInt64.max) + wire([1, 0])) == Answered.done, "the last byte there is")
    }

    @Test func entriesThatAdjoinAreOnePiece() throws {
        let entries =
            wire(UInt64(0x1000)) + wire([0x1000, 0]) + wire(UInt64(0x2000)) + wire([0x800, 0])
            + wire(UInt64(0x9000)) + wire([16, 0])
        let backing = try Backing(entries.span.bytes, count: 3)
        #expect(
            backing.pieces == [
                .init(address: 0x1000, length: 0x1800, start: 0), .init(address: 0x9000, length: 16, start: 0x1800),
            ])
        #expect(backing.size == 0x1810)
    }

    @Test func allBackingsTogetherAreBounded() throws {
        let driver = try Driver()
        // No two adjoin.
        let entries = (0..<65536).flatMap { wire(UInt64($0) << 13) + wire([1, 0]) }
        for id in 1...3 as ClosedRange<UInt32> { driver.create(id, 1, 1) }
        func attach(_ id: UInt32) -> UInt32? {
            driver.send(VIRTIO_GPU_CMD_RESOURCE_ATTACH_BACKING, wire([id, 65536]) + entries)
        }
        #expect(attach(1) == Answered.done)
        #expect(attach(2) == Answered.done)
        #expect(attach(3) == Answered.outOfMemory)
        driver.unref(1)
        #expect(attach(3) == Answered.done)
    }

    // MARK: Blobs

    @Test func blobsOfTheHostAreRefused() throws {
        let driver = try Driver()
        for memory in [0, 2, 3, 4, UInt32.max] {
            #expect(driver.createBlob(1, memory: memory, size: 4096, [(0, 4096)]) == Answered.invalidParameter)
        }
        #expect(driver.createBlob(1, size: 0, []) == Answered.invalidParameter)
        #expect(driver.createBlob(0, size: 1, []) == Answered.invalidResource)
        #expect(driver.createBlob(1, size: 4096, [(0, 4096)]) == Answered.done)
        #expect(driver.createBlob(1, size: 4096, [(0, 4096)]) == Answered.invalidResource)
        #expect(driver.send(VIRTIO_GPU_CMD_RESOURCE_MAP_BLOB, wire([1, 0, 0, 0])) == Answered.unspecified)
    }

    @Test func aBlobHasNothingToTransfer() throws {
        let driver = try Driver()
        driver.createBlob(1, size: 64, [(0, 64)])
        #expect(driver.transfer(1, [0, 0, 4, 4]) == Answered.done)
        #expect(driver.attach(1, [(0, 64)]) == Answered.unspecified)
        #expect(driver.send(VIRTIO_GPU_CMD_RESOURCE_DETACH_BACKING, wire([1, 0])) == Answered.done)
        #expect(driver.attach(1, [(64, 64)]) == Answered.done)
    }
}
