import PCI
import Testing

@Suite struct BaseAddressTests {
    private static let all: UInt16 = 0x7

    private func decoding() throws -> ConfigurationSpace {
        var function = try Sample.function()
        function.write(Self.all, at: 0x04)
        return function
    }

    // MARK: Sizing

    @Test(arguments: [
        (BARLayout(index: 0, space: .io, size: 4), 0xffff_fffd as UInt32, 1 as UInt32),
        (BARLayout(index: 0, space: .io, size: 256), 0xffff_ff01, 1),
        (BARLayout(index: 0, space: .memory32, size: 16), 0xffff_fff0, 0),
        (BARLayout(index: 0, space: .memory32, size: 4096, prefetchable: true), 0xffff_f008, 8),
        (BARLayout(index: 0, space: .memory32, size: 1 << 31), 0x8000_0000, 0),
    ])
    func allOnesReadBackTheSizeAndTheKind(bar: BARLayout, sized: UInt32, flags: UInt32) throws {
        var function = try Sample.plain(bars: [bar])
        #expect(function.long(0x10) == flags)
        #expect(function.write(UInt32.max, at: 0x10) == .bars)
        #expect(function.long(0x10) == sized)
        #expect(function.write(UInt32(0), at: 0x10) == .bars)
        #expect(function.long(0x10) == flags)
        #expect(function.write(UInt32.max, at: 0x14) == [])
        #expect(function.long(0x14) == 0)
    }

    @Test(arguments: [
        (16 as UInt64, 0xffff_ffff_ffff_fff4 as UInt64), (1 << 20, 0xffff_ffff_fff0_0004),
        (1 << 32, 0xffff_ffff_0000_0004), (1 << 40, 0xffff_ff00_0000_0004), (1 << 63, 0x8000_0000_0000_0004),
    ])
    func wideBARsAreSizedOverBothHalves(size: UInt64, sized: UInt64) throws {
        var function = try Sample.plain(bars: [BARLayout(index: 4, space: .memory64, size: size)])
        function.write(UInt32.max, at: 0x20)
        function.write(UInt32.max, at: 0x24)
        #expect(function.read(0x20, as: UInt64.self) == sized)
        #expect(function.long(0x28) == 0)
    }

    @Test func romIsSizedApartFromItsEnableBit() throws {
        var function = try Sample.plain(romSize: 64 << 10)
        function.write(UInt32(0xffff_fffe), at: 0x30)
        #expect(function.long(0x30) == 0xffff_0000)
        function.write(UInt32.max, at: 0x30)
        #expect(function.long(0x30) == 0xffff_0001)
        var none = try Sample.plain()
        #expect(none.write(UInt32.max, at: 0x30) == [])
        #expect(none.long(0x30) == 0)
    }

    // MARK: Decoding

    @Test func addressesAreKnownOnceAssigned() throws {
        var function = try decoding()
        #expect((0..<6).allSatisfy { function.barAddress($0) == nil })
        function.write(UInt64(0x80_0000_0000), at: 0x10)
        function.write(UInt32(0xfe00_4000), at: 0x18)
        function.write(UInt32(0xc020), at: 0x1c)
        function.write(UInt64(0x2_0000_0000), at: 0x20)
        #expect(function.barAddress(0) == 0x80_0000_0000)
        #expect(function.barAddress(1) == nil)
        #expect(function.barAddress(2) == 0xfe00_4000)
        #expect(function.barAddress(3) == 0xc020)
        #expect(function.barAddress(4) == 0x2_0000_0000)
        #expect(function.barAddress(5) == nil)
        #expect(function.barAddress(-1) == nil)
        #expect(function.barAddress(Int.max) == nil)
    }

    @Test func nothingIsDecodedWhileItsSpaceIsOff() throws {
        var function = try decoding()
        function.write(UInt32(0xfe00_4000), at: 0x18)
        function.write(UInt32(0xc020), at: 0x1c)
        function.write(UInt16(0x1), at: 0x04)
        #expect(function.barAddress(2) == nil)
        #expect(function.barAddress(3) == 0xc020)
        function.write(UInt16(0x2), at: 0x04)
        #expect(function.barAddress(2) == 0xfe00_4000)
        #expect(function.barAddress(3) == nil)
    }

    @Test func aBARBeingSizedIsNowhere() throws {
        var function = try decoding()
        for offset in [0x10, 0x18, 0x1c, 0x20] { function.write(UInt32.max, at: offset) }
        #expect(function.barAddress(0) == nil)
        #expect(function.barAddress(2) == nil)
        #expect(function.barAddress(3) == nil)
        function.write(UInt32.max, at: 0x14)
        function.write(UInt32.max, at: 0x24)
        #expect(function.barAddress(0) == nil)
        #expect(function.barAddress(4) == nil)
        // The upper half alone, with the lower one assigned.
        function.write(UInt32(0xe000_0000), at: 0x10)
        #expect(function.barAddress(0) == nil)
        function.write(UInt32(1), at: 0x14)
        #expect(function.barAddress(0) == 0x1_e000_0000)
    }

    @Test func anAccessFindsItsBAR() throws {
        var function = try decoding()
        function.write(UInt32(0xfe00_4000), at: 0x18)
        function.write(UInt32(0xc020), at: 0x1c)
        #expect(function.bar(decoding: 0xfe00_3fff, space: .memory) == nil)
        #expect(try #require(function.bar(decoding: 0xfe00_4000, space: .memory)) == (2, 0))
        #expect(try #require(function.bar(decoding: 0xfe00_7fff, space: .memory)) == (2, 0x3fff))
        #expect(function.bar(decoding: 0xfe00_8000, space: .memory) == nil)
        #expect(function.bar(decoding: 0xfe00_4000, space: .io) == nil)
        #expect(try #require(function.bar(decoding: 0xc03f, space: .io)) == (3, 31))
        #expect(function.bar(decoding: 0xc040, space: .io) == nil)
        #expect(function.bar(decoding: 0xc020, space: .memory) == nil)
        #expect(function.bar(decoding: .max, space: .memory) == nil)
    }

    @Test func theLowestOfOverlappingBARsAnswers() throws {
        var function = try Sample.plain(bars: [
            BARLayout(index: 5, space: .memory32, size: 4096), BARLayout(index: 1, space: .memory32, size: 4096),
        ])
        function.write(UInt16(2), at: 0x04)
        function.write(UInt32(0x1000), at: 0x14)
        function.write(UInt32(0x1000), at: 0x24)
        #expect(try #require(function.bar(decoding: 0x1010, space: .memory)) == (1, 0x10))
    }

    @Test func romNeedsItsEnableBitMemoryDecodingAndAnAddress() throws {
        var function = try decoding()
        #expect(function.write(UInt32(1), at: 0x30) == .bars)
        #expect(function.romAddress == nil)
        function.write(UInt32(0xfea0_0001), at: 0x30)
        #expect(function.romAddress == 0xfea0_0000)
        function.write(UInt32(0xfea0_0000), at: 0x30)
        #expect(function.romAddress == nil)
        function.write(UInt32.max, at: 0x30)
        #expect(function.romAddress == nil)
        function.write(UInt32(0xfea0_0001), at: 0x30)
        function.write(UInt16(0x5), at: 0x04)
        #expect(function.romAddress == nil)
        #expect(try Sample.plain().romAddress == nil)
    }

    @Test func nothingIsDecodedInD3hot() throws {
        var function = try decoding()
        function.write(UInt32(0xfe00_4000), at: 0x18)
        function.write(UInt32(0xc020), at: 0x1c)
        function.write(UInt32(0xfea0_0001), at: 0x30)
        #expect(function.write(UInt16(3), at: 0x44) == .powerState)
        #expect(!function.isBusMaster && !function.decodesMemory && !function.decodesIO)
        #expect(function.barAddress(2) == nil)
        #expect(function.barAddress(3) == nil)
        #expect(function.romAddress == nil)
        #expect(function.write(UInt16(0), at: 0x44) == .powerState)
        #expect(function.barAddress(2) == 0xfe00_4000)
        #expect(function.barAddress(3) == 0xc020)
        #expect(function.romAddress == 0xfea0_0000)
    }
}
