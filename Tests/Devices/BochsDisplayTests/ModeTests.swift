import Device
import Testing

@testable import BochsDisplay
import SeededRandom

/// The DISPI registers.
@Suite struct ModeTests {
    @Test func aDriverFindsTheInterfaceAndTheSizeOfItsMemory() throws {
        let driver = try Driver("vram=32M")
        #expect(driver[.id] == 0xb0c5)
        #expect(driver[.videoMemory] == 512)
        #expect(driver.read(0x600, .dword) == 8)
        #expect(driver.display.bars[0].layout.size == 32 << 20)
    }

    @Test func aDriverChoosesAVersionOfTheInterface() throws {
        let driver = try Driver()
        driver[.id] = 0xb0c0
        #expect(driver[.id] == 0xb0c0)
        driver[.id] = 0xb0c6
        driver[.id] = 0
        #expect(driver[.id] == 0xb0c0)
    }

    @Test(arguments: [8, 15, 16, 24, 32] as [UInt64]) func aModeThatFitsIsTakenAsItIs(bits: UInt64) throws {
        let driver = try Driver()
        driver.setMode(1366, 768, bits: bits)
        let scanout = try #require(driver.display.scanout)
        #expect([scanout.width, scanout.height] == [1366, 768])
        #expect(scanout.stride == 1366 * Int((bits + 7) / 8))
        #expect(scanout.offset == 0)
        #expect(driver[.virtualHeight] == UInt64((16 << 20) / scanout.stride))
    }

    @Test(arguments: [0, 1, 4, 7, 12, 33, 64, 0xffff] as [UInt64])
    func anUnknownDepthBecomesEightBits(bits: UInt64) throws {
        let driver = try Driver()
        driver.setMode(640, 480, bits: bits)
        #expect(driver[.bitsPerPixel] == 8)
        #expect(driver.display.scanout?.format == .indexed8)
    }

    @Test func nothingIsShownUntilTheModeIsOn() throws {
        let driver = try Driver()
        #expect(driver.display.scanout == nil)
        driver.setMode(640, 480, bits: 32, enable: 0x40)
        #expect(driver.display.scanout == nil)
        driver[.enable] = 0x41
        #expect(driver.display.scanout != nil)
        driver[.enable] = 0
        #expect(driver.display.scanout == nil)
    }

    @Test func registersOfAModeThatIsOffHoldWhatIsWritten() throws {
        let driver = try Driver()
        for register in [DISPI.Register.width, .height, .bitsPerPixel, .virtualWidth, .xOffset, .yOffset] {
            driver[register] = 0xabcd
            #expect(driver[register] == 0xabcd)
        }
    }

    @Test func enablingBeginsWithoutPanning() throws {
        let driver = try Driver()
        driver[.width] = 640
        driver[.height] = 480
        driver[.bitsPerPixel] = 32
        driver[.virtualWidth] = 2000
        driver[.xOffset] = 7
        driver[.yOffset] = 9
        driver[.enable] = 0x41
        #expect(driver[.virtualWidth] == 640)
        #expect([driver[.xOffset], driver[.yOffset]] == [0, 0])
    }

    @Test func writingAnEnabledModeAgainKeepsThePanning() throws {
        let driver = try Driver()
        driver.setMode(640, 480, bits: 32)
        driver[.yOffset] = 480
        driver[.enable] = 0x41
        #expect(driver[.yOffset] == 480)
    }

    @Test func heightIsCutToTheMemory() throws {
        let driver = try Driver("vram=4M")
        driver.setMode(2048, 2048, bits: 32)
        #expect([driver[.width], driver[.height]] == [2048, 512])
        driver[.virtualWidth] = 4096
        #expect(driver[.height] == 256)
        #expect(driver.display.scanout?.stride == 16384)
    }

    @Test func panningIsMovedToTheClosestPlaceInsideTheMemory() throws {
        let driver = try Driver("vram=4M")
        driver.setMode(1024, 512, bits: 32)
        driver[.yOffset] = 0xffff
        #expect(driver[.yOffset] == 512)
        driver[.xOffset] = 1
        #expect([driver[.xOffset], driver[.yOffset]] == [1, 511])
        driver[.yOffset] = 0
        driver[.xOffset] = 0xffff
        #expect([driver[.xOffset], driver[.yOffset]] == [0xffff, 0])
        #expect(driver.display.scanout?.offset == 0xffff * 4)
    }

    @Test func panningWithoutRoomIsNone() throws {
        let driver = try Driver("vram=4M")
        driver.setMode(1024, 1024, bits: 32)
        driver[.xOffset] = 5
        driver[.yOffset] = 5
        #expect([driver[.xOffset], driver[.yOffset]] == [0, 0])
    }

    @Test func pageFlippingMovesTheScanout() throws {
        let driver = try Driver()
        driver.setMode(1024, 768, bits: 32)
        driver[.yOffset] = 768
        #expect(driver.display.scanout?.offset == 768 * 4096)
    }

    @Test func capabilitiesAreTheMaximums() throws {
        let driver = try Driver()
        driver.setMode(640, 480, bits: 16)
        driver[.enable] = 0x43
        #expect([driver[.width], driver[.height], driver[.bitsPerPixel]] == [8192, 8192, 32])
        driver[.enable] = 0x41
        #expect([driver[.width], driver[.height], driver[.bitsPerPixel]] == [640, 480, 16])
    }

    /// As with QEMU's own, also without the bit that says so. A guest that wakes up finds its picture.
    @Test(arguments: [0x41, 0xc1] as [UInt64])
    func theMemoryOutlivesResetsAndModes(enable: UInt64) throws {
        let driver = try Driver()
        driver.draw([1, 2, 3], at: 0)
        driver.setMode(640, 480, bits: 32, enable: enable)
        #expect(driver.pixels(at: 0, count: 3) == [1, 2, 3])
        driver.display.reset()
        #expect(driver.display.scanout == nil)
        driver.setMode(640, 480, bits: 32, enable: enable)
        #expect(driver.pixels(at: 0, count: 3) == [1, 2, 3])
    }

    @Test func readOnlyRegistersStayAndUnknownBitsAreDropped() throws {
        let driver = try Driver()
        driver.setMode(640, 480, bits: 32)
        driver[.virtualHeight] = 1
        driver[.videoMemory] = 1
        driver[.enable] = 0xffff
        driver[.bank] = 0xffff
        #expect(driver[.virtualHeight] == UInt64((16 << 20) / 2560))
        #expect(driver[.videoMemory] == 256)
        #expect(driver[.enable] == 0xe3)
        #expect(driver[.bank] == 0xff)
    }

    @Test func registersCanBeReachedInOtherWidths() throws {
        let driver = try Driver()
        driver.write(0x502, 0x0300_0400, .dword)
        #expect([driver[.width], driver[.height]] == [1024, 768])
        driver.write(0x503, 0x05, .byte)
        #expect(driver[.width] == 0x500)
        #expect(driver.read(0x500, .qword) == 0x0000_0300_0500_b0c5)
        #expect(driver.read(0x503, .byte) == 5)
    }

    @Test(arguments: [0x3ff, 0x41b, 0x4ff, 0x516, 0x5fe, 0x608, 0xff8] as [UInt64])
    func whereThereIsNothingReadsZeroAndIgnoresWrites(offset: UInt64) throws {
        let driver = try Driver()
        let before = driver.display.state
        driver.write(offset, 0xff, .byte)
        #expect(driver.read(offset, .byte) == 0)
        #expect(driver.display.state == before)
        driver.display.write(0, at: offset, width: .byte, value: 1)
        #expect(driver.display.read(0, at: offset, width: .byte) == 0)
    }

    /// Whatever is written, in whatever order, a mode that is on lies inside the memory.
    @Test(arguments: ["1600K", "2M", "4M", "16M", "256M"]) func noSequenceOfWritesLeavesTheMemory(size: String) throws {
        let driver = try Driver("vram=\(size)", "resolution=640x480", "edid=off")
        var random = SplitMix(seed: 0x5eed)
        let interesting: [UInt64] = [
            0, 1, 7, 8, 15, 16, 24, 32, 63, 64, 640, 1024, 4096, 8192, 8193, 0x7fff, 0x8000, 0xffff,
        ]
        for _ in 0..<2_000 {
            let register = DISPI.Register.allCases[Int(random.next() % 11)]
            let pick = random.next()
            let value = pick % 4 == 0 ? random.next() & 0xffff : interesting[Int(pick / 4 % UInt64(interesting.count))]
            driver[register] =
                register == .enable && pick % 3 != 0 ? value | 0x81 : value | (register == .enable ? 0x80 : 0)
            guard let scanout = driver.display.scanout else { continue }
            #expect(scanout.width >= 1 && scanout.width <= 8192 && scanout.height >= 1 && scanout.height <= 8192)
            #expect(scanout.stride >= scanout.width * scanout.format.bytesPerPixel)
            #expect(scanout.offset >= 0)
            #expect(scanout.offset + scanout.height * scanout.stride <= driver.display.videoMemoryLimit)
        }
    }
}
