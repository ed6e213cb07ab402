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
        #expect(function.dword(0x10) == flags)
        #expect(function.write(UInt32.max, at: 0x10) == .bars)
        #expect(function.dword(0x10) == sized)
        #expect(function.write(UInt32(0), at: 0x10) == .bars)
        #expect(function.dword(0x10) == flags)
        #expect(function.write(UInt32.max, at: 0x14) == [])
        #expect(function.dword(0x14) == 0)
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
        #expect(function.dword(0x28) == 0)
    }

    @Test func romIsSizedApartFromItsEnableBit() throws {
        var function = try Sample.plain(romSize: 64 << 10)
        function.write(UInt32(0xffff_fffe), at: 0x30)
        #expect(function.dword(0x30) == 0xffff_0000)
        function.write(UInt32.max, at: 0x30)
        #expect(function.dword(0x30) == 0xffff_0001)
        var none = try Sample.plain()
        #expect(none.write(UInt32.max, at: 0x30) == [])
        #expect(none.dword(0x30) == 0)
    }

    // MARK: Decoding

    @Test func nothingIsDecodedInD3hot() throws {
        var function = try decoding()
        #expect(function.write(UInt16(3), at: 0x44) == .powerState)
        #expect(!function.isBusMaster && !function.decodesMemory && !function.decodesIO)
        #expect(function.write(UInt16(0), at: 0x44) == .powerState)
        #expect(function.isBusMaster && function.decodesMemory && function.decodesIO)
    }
}
