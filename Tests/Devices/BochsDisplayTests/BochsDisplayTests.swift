import Device
import Display
import Foundation
import Linux
import Testing

@testable import BochsDisplay

/// Everything but the mode: options, the VGA's part, byte order, state.
@Suite struct BochsDisplayTests {
    // MARK: Options

    @Test(
        arguments: [
            ("vram=1025K", "multiple of 64K"), ("vram=512K", "from"), ("aperture=24M", "power of two"),
            ("aperture=8M", "must hold 'vram'"), ("aperture=512K", "from"), ("frame-rate=241", "from 0 to 240"),
            ("resolution=4096x4096", "needs 64M"),
            ("resolution=1024", "WIDTHxHEIGHT"), ("resolution=x", "WIDTHxHEIGHT"), ("resolution=1x2x3", "WIDTHxHEIGHT"),
            ("resolution=639x480", "from 640x480 to 8192x8192"), ("resolution=1024x8193", "from 640x480 to 8192x8192"),
            ("resolution=99999999999999999999x1", "WIDTHxHEIGHT"), ("refresh=0", "from 30 to 240"),
        ])
    func optionsThatCanNotBeAreExplained(option: String, part: String) {
        let error = #expect(throws: OptionError.self) { _ = try Driver(option) }
        #expect(error?.description.contains(part) == true, "\(error?.description ?? "")")
    }

    @Test func theLargestResolutionNeedsTheMostMemory() throws {
        _ = try Driver("resolution=8192x8192", "vram=256M")
        #expect(throws: OptionError.self) { _ = try Driver("resolution=8192x8192", "vram=128M") }
    }

    // MARK: EDID

    @Test func theMonitorDescribesItselfInAnyWidth() throws {
        let driver = try Driver()
        let edid = EDID(width: 1024, height: 768, refresh: 60).bytes
        #expect((0..<128).map { UInt8(driver.read($0, .byte)) } == edid)
        #expect(driver.read(0, .qword) == 0x00ff_ffff_ffff_ff00)
        #expect(driver.read(0x80, .qword) == 0)
        driver.write(0, 0xff, .byte)
        #expect(driver.read(0, .byte) == 0)
    }

    @Test func withoutAMonitorThereIsNoEDID() throws {
        let driver = try Driver("edid=off")
        #expect((0..<0x400).allSatisfy { driver.read($0, .byte) == 0 })
    }

    // MARK: VGA

    @Test func blankingHidesThePicture() throws {
        let driver = try Driver()
        driver.setMode(640, 480, bits: 32)
        driver[port: 0x3c2] = 1
        _ = driver[port: 0x3da]
        driver[port: 0x3c0] = 0
        #expect(driver.display.scanout == nil)
        _ = driver[port: 0x3da]
        driver[port: 0x3c0] = 0x20
        #expect(driver.display.scanout != nil)
        #expect(driver[port: 0x3cc] == 1)
        #expect(driver[port: 0x3c0] == 0x20)
    }

    @Test func attributeDataIsNoIndex() throws {
        let driver = try Driver()
        driver.setMode(640, 480, bits: 32)
        driver[port: 0x3c0] = 0x30
        driver[port: 0x3c0] = 0x00
        #expect(driver.display.scanout != nil)
        driver[port: 0x3c0] = 0x00
        #expect(driver.display.scanout == nil)
    }

    @Test func whoWaitsForARetraceSeesItBeginAndEnd() throws {
        let driver = try Driver()
        let bits = (0..<4).map { _ in driver[port: 0x3da] & 8 }
        #expect(bits == [8, 0, 8, 0])
    }

    @Test func thePaletteIsWrittenAndReadOneColourAfterTheOther() throws {
        let driver = try Driver()
        driver[port: 0x3c8] = 255
        for value in [1, 2, 3, 4, 5, 0xff] as [UInt64] { driver[port: 0x3c9] = value }
        #expect(driver[port: 0x3c8] == 1, "it went on from 255 to 0")
        driver[port: 0x3c7] = 255
        #expect(driver[port: 0x3c7] == 3)
        #expect((0..<6).map { _ in driver[port: 0x3c9] } == [1, 2, 3, 4, 5, 0x3f])
    }

    @Test func aColourIsStoredWhenItIsWhole() throws {
        let driver = try Driver()
        driver[port: 0x3c8] = 0
        driver[port: 0x3c9] = 1
        driver[port: 0x3c9] = 2
        #expect(driver.display.state.dac.palette(bits: 8)[0] == 0)
        driver[port: 0x3c8] = 0
        for value in [4, 5, 6] as [UInt64] { driver[port: 0x3c9] = value }
        #expect(driver.display.state.dac.palette(bits: 8)[0] == 0x040506)
    }

    @Test func anIndexAndItsDataCanBeWrittenAtOnce() throws {
        let driver = try Driver()
        driver.write(0x408, 0x2a07, .word)
        #expect(driver[port: 0x3c8] == 7)
        #expect(driver.display.state.dac.latch[0] == 0x2a)
    }

    @Test func sixBitColoursReachFullIntensity() throws {
        let driver = try Driver()
        driver.setMode(640, 480, bits: 8)
        driver[port: 0x3c8] = 9
        for value in [0x3f, 0x20, 0x00] as [UInt64] { driver[port: 0x3c9] = value }
        driver.draw([9], at: 0)
        #expect(driver.row(0)?.prefix(3) == [0xff, 0x82, 0x00])
    }

    @Test func eightBitColoursAreShownAsTheyAre() throws {
        let driver = try Driver()
        driver.setMode(640, 480, bits: 8, enable: 0x61)
        driver[port: 0x3c8] = 9
        for value in [0xfe, 0x80, 0x01] as [UInt64] { driver[port: 0x3c9] = value }
        driver.draw([9], at: 0)
        #expect(driver.row(0)?.prefix(3) == [0xfe, 0x80, 0x01])
        driver[port: 0x3c6] = 0x06
        #expect(driver.row(0)?.prefix(3) == [0, 0, 0], "the mask leaves index 0")
    }

    // MARK: Byte order

    @Test(
        arguments: [
            (32, [0x33, 0x22, 0x11, 0x00], [0x00, 0x11, 0x22, 0x33], [0x11, 0x22, 0x33]),
            (24, [0x33, 0x22, 0x11], [0x11, 0x22, 0x33], [0x11, 0x22, 0x33]),
            (16, [0xe0, 0xff], [0xff, 0xe0], [0xff, 0xff, 0x00]),
            (15, [0x1f, 0x7c], [0x7c, 0x1f], [0xff, 0x00, 0xff]),
        ] as [(UInt64, [UInt8], [UInt8], [UInt8])])
    func bothByteOrdersAreShown(bits: UInt64, little: [UInt8], big: [UInt8], colour: [UInt8]) throws {
        let driver = try Driver()
        driver.setMode(640, 480, bits: bits)
        driver.draw(little, at: 0)
        #expect(driver.row(0).map { Array($0.prefix(3)) } == colour)
        driver.write(0x604, 0xbebe_bebe, .dword)
        #expect(driver.read(0x604, .dword) == 0xbebe_bebe)
        driver.draw(big, at: 0)
        #expect(driver.row(0).map { Array($0.prefix(3)) } == colour)
    }

    @Test(arguments: [0, 1, 0xbebe_bebf, 0xffff_ffff] as [UInt64]) func anyOtherByteOrderIsIgnored(value: UInt64) throws
    {
        let driver = try Driver()
        driver.write(0x604, value, .dword)
        #expect(driver.read(0x604, .dword) == 0x1e1e_1e1e)
        driver.write(0x604, 0xbe, .byte)
        #expect(driver.read(0x604, .dword) == 0x1e1e_1e1e)
    }

    // MARK: Damage

    @Test func damageIsWhatTheGuestDrewSinceEachWatchersLastLook() throws {
        let driver = try Driver()
        driver.setMode(640, 480, bits: 32)
        let watches = (0..<2).map { _ in driver.display.watchDamage() }
        for watch in watches {
            #expect(watch.take() == [Rectangle(x: 0, y: 0, width: 640, height: 480)])
            #expect(watch.take().isEmpty)
        }
        driver.draw([1], at: 100 * 2560 + 200 * 4)
        let first = Rectangle(x: 192, y: 96, width: 64, height: 16)
        #expect(watches[0].take() == [first])
        driver.draw([1], at: 0)
        let second = Rectangle(x: 0, y: 0, width: 64, height: 16)
        #expect(watches[0].take() == [second])
        #expect(watches[1].take() == [first, second])
    }

    @Test func changesOfModeOrPaletteDamageEverything() throws {
        let driver = try Driver()
        driver.setMode(640, 480, bits: 8)
        let watch = driver.display.watchDamage()
        _ = watch.take()
        driver[port: 0x3c8] = 1
        for value in [1, 2, 3] as [UInt64] { driver[port: 0x3c9] = value }
        #expect(watch.take() == [Rectangle(x: 0, y: 0, width: 640, height: 480)])
        driver.setMode(800, 600, bits: 8)
        #expect(watch.take() == [Rectangle(x: 0, y: 0, width: 800, height: 600)])
        driver[.enable] = 0
        #expect(watch.take().isEmpty)
    }

    @Test func theLastWhoWatchesFreesTheCopy() throws {
        let driver = try Driver()
        driver.setMode(640, 480, bits: 32)
        var watch: DamageWatch? = driver.display.watchDamage()
        _ = watch?.take()
        weak let copy = watch?.picture?.memory
        #expect(copy != nil && copy !== driver.display.videoMemory)
        watch = nil
        #expect(copy == nil)
    }

    // MARK: State

    private func busyDriver() throws -> Driver {
        let driver = try Driver()
        driver.setMode(1024, 768, bits: 8, enable: 0x61)
        driver[.virtualWidth] = 2048
        driver[.xOffset] = 100
        driver[.yOffset] = 200
        driver[port: 0x3c8] = 3
        for value in [10, 20, 30, 40] as [UInt64] { driver[port: 0x3c9] = value }
        driver[port: 0x3c0] = 0x21
        driver.write(0x604, 0xbebe_bebe, .dword)
        return driver
    }

    @Test func restoringGoesOnWhereTheStateWasTaken() throws {
        let driver = try busyDriver()
        let bytes = try JSONEncoder().encode(driver.display.state)
        let other = try Driver()
        try other.display.restore(JSONDecoder().decode(BochsDisplay.State.self, from: bytes))
        #expect(other.display.state == driver.display.state)
        // In the middle of a colour, and of the attribute controller's pair.
        for each in [driver, other] {
            each[port: 0x3c9] = 50
            each[port: 0x3c9] = 60
            each[port: 0x3c0] = 0x00
        }
        #expect(other.display.state.dac.palette(bits: 8)[4] == 0x28323c)
        #expect(other.display.scanout?.offset == driver.display.scanout?.offset)
        #expect(other.display.scanout?.stride == 2048)
    }

    @Test func aStateThatCanNotBeIsRefusedAndChangesNothing() throws {
        let good = try busyDriver().display.state
        var states = [BochsDisplay.State](repeating: good, count: 10)
        states[0].dispi.id = 1
        states[1].dispi.width = 0
        states[2].dispi.height = 0xffff
        states[3].dispi.bitsPerPixel = 0
        states[4].dispi.virtualWidth = 100
        states[5].dispi.yOffset = 0xffff
        states[6].dac.components.removeLast()
        states[7].dac.component = 3
        states[8].dac.latch = []
        states[9].dispi.enable = DISPI.Enable(rawValue: 0x8001)
        for state in states {
            let driver = try Driver()
            #expect(throws: StateError.self) { try driver.display.restore(state) }
            #expect(driver.display.state == BochsDisplay.State())
        }
    }

    @Test func aModeThatNeedsMoreMemoryIsRefused() throws {
        let large = try Driver("vram=64M")
        large.setMode(4000, 4000, bits: 32)
        let small = try Driver("vram=16M")
        #expect(throws: StateError.self) { try small.display.restore(large.display.state) }
    }

    @Test func resetIsThePowerOnStateButKeepsThePixels() throws {
        let driver = try busyDriver()
        driver.draw([1, 2, 3], at: 0)
        driver.display.reset()
        #expect(driver.display.state == BochsDisplay.State())
        #expect(driver.display.scanout == nil)
        #expect(driver.pixels(at: 0, count: 3) == [1, 2, 3])
    }
}
