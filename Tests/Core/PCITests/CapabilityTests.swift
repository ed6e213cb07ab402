import PCI
import Testing

@Suite struct CapabilityTests {
    // MARK: The list

    @Test func theListHasTheDeclaredOrder() throws {
        let function = try Sample.function()
        var found: [UInt8] = []
        var offset = Int(function.byte(0x34))
        #expect(offset == 0x40)
        while offset != 0, found.count < 48 {
            #expect(offset % 4 == 0)
            found.append(function.byte(offset))
            offset = Int(function.byte(offset + 1))
        }
        #expect(found == [0x01, 0x05, 0x11, 0x09, 0x10, 0x09])
    }

    @Test func withoutCapabilitiesThereIsNoList() throws {
        let function = try Sample.plain()
        #expect(function.byte(0x34) == 0)
        #expect(!function.status.contains(.capabilitiesList))
        #expect(function.msi == nil)
        #expect(function.msix == nil)
        #expect(function.msixLayout == nil)
        #expect(function.powerState == .d0)
    }

    @Test func theListMayFillTheSpaceToItsLastByte() throws {
        let function = try ConfigurationSpace(
            identity: Sample.identity, bars: [], capabilities: [.vendor([UInt8](repeating: 7, count: 189))])
        #expect(function.byte(0x42) == 192)
        #expect(function.byte(0xff) == 7)
    }

    @Test func vendorCapabilitiesHoldTheirLengthAndBytes() throws {
        let function = try Sample.function()
        let first = try #require(function.capability(0x09))
        #expect(function.bytes(at: first + 2, count: 14) == [16, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13])
        let second = try #require(function.capability(0x09, after: first))
        #expect(function.bytes(at: second, count: 4) == [0x09, 0, 4, 0xaa])
    }

    @Test func aWindowsRegistersTakeWhatIsWritten() throws {
        var function = try ConfigurationSpace(
            identity: Sample.identity, bars: [],
            capabilities: [
                .vendor([1]),
                .vendor(
                    [5] + [UInt8](repeating: 0, count: 16), window: BARWindow(bar: 4, offset: 8, length: 12, data: 16)),
            ])
        #expect(function.window == BARWindow(bar: 0x48, offset: 0x4c, length: 0x50, data: 0x54))
        #expect(function.windowTarget(at: 0x54, count: 4) == nil)
        function.write(UInt32(0xffff_ff04), at: 0x48)
        #expect(function.dword(0x48) == 4)
        function.write(UInt32(0x102), at: 0x4c)
        function.write(UInt32(2), at: 0x50)
        #expect(function.windowTarget(at: 0x54, count: 1) == .init(bar: 4, offset: 0x102, count: 2))
        function.windowData = 0xcafe_f00d
        #expect(function.dword(0x54) == 0xcafe_f00d)
        let state = function.state
        function.reset()
        #expect(function.dword(0x54) == 0)
        try function.restore(state)
        #expect(function.dword(0x54) == 0xcafe_f00d)
    }

    @Test(arguments: [
        (0x53, 1, false), (0x53, 2, true), (0x54, 4, true), (0x57, 1, true), (0x58, 4, false), (0, 256, true),
    ])
    func onlyAccessesToTheDataGoThroughAWindow(position: Int, count: Int, isThrough: Bool) throws {
        var function = try ConfigurationSpace(
            identity: Sample.identity, bars: [],
            capabilities: [
                .vendor([1]),
                .vendor(
                    [5] + [UInt8](repeating: 0, count: 16), window: BARWindow(bar: 4, offset: 8, length: 12, data: 16)),
            ])
        function.write(UInt32(1), at: 0x50)
        #expect((function.windowTarget(at: position, count: count) != nil) == isThrough)
    }

    @Test func withoutAWindowNothingGoesThroughIt() throws {
        var function = try Sample.function()
        #expect(function.window == nil)
        #expect(function.windowTarget(at: 0, count: 256) == nil)
        function.windowData = 1
        #expect(function.windowData == 0)
    }

    // MARK: Power management

    @Test func aFunctionGoesToD3hotAndBack() throws {
        var function = try Sample.function()
        let base = try #require(function.capability(0x01))
        #expect(function.word(base + 2) & 0x7 == 3)
        // Bit 3, No_Soft_Reset, would promise that the function's state outlives a sleep of the machine.
        #expect(function.word(base + 4) == 0)
        #expect(function.powerState == .d0)
        #expect(function.write(UInt16(3), at: base + 4) == .powerState)
        #expect(function.powerState == .d3hot)
        #expect(function.write(UInt16(0), at: base + 4) == .powerState)
        #expect(function.powerState == .d0)
    }

    @Test(arguments: [1, 2] as [UInt16])
    func statesThatDoNotExistAreNotEntered(state: UInt16) throws {
        var function = try Sample.function()
        let base = try #require(function.capability(0x01))
        #expect(function.write(state, at: base + 4) == [])
        #expect(function.powerState == .d0)
        function.write(UInt16(3), at: base + 4)
        #expect(function.write(state, at: base + 4) == [])
        #expect(function.powerState == .d3hot)
    }

    // MARK: MSI

    @Test func msiShowsWhatTheGuestSetUp() throws {
        var function = try Sample.function()
        let base = try #require(function.capability(0x05))
        let idle = try #require(function.msi)
        #expect(!idle.enabled && idle.vectors == 1 && idle.mask == 0)
        function.write(UInt32.max, at: base + 4)
        function.write(UInt32(0x1), at: base + 8)
        function.write(UInt16(0x4047), at: base + 0xc)
        #expect(function.write(UInt32.max, at: base + 0x10) == .msi)
        #expect(function.write(UInt16(0x0021), at: base + 2) == .msi)
        let msi = try #require(function.msi)
        #expect(msi.enabled && msi.vectors == 4)
        #expect((msi.address, msi.data) == (0x1_ffff_fffc, 0x4047))
        #expect((msi.mask, msi.pending) == (0xf, 0))
        #expect(msi.message(for: 0) == MSIMessage(address: 0x1_ffff_fffc, data: 0x4044))
        #expect(msi.message(for: 3) == MSIMessage(address: 0x1_ffff_fffc, data: 0x4047))
        #expect(msi.message(for: 4) == nil)
        #expect(msi.message(for: -1) == nil)
    }

    @Test func noMoreVectorsAreAllocatedThanThereAre() throws {
        var function = try Sample.function()
        let base = try #require(function.capability(0x05))
        function.write(UInt16(1 << 4), at: base + 2)
        for tooMany in 3...7 as ClosedRange<UInt16> {
            function.write(tooMany << 4 | 1, at: base + 2)
            #expect(function.msi?.vectors == 2)
            #expect(function.msi?.enabled == true)
        }
    }

    @Test(arguments: [1, 2, 4, 8, 16, 32])
    func msiHasAsManyMasksAsVectors(vectors: Int) throws {
        var function = try ConfigurationSpace(
            identity: Sample.identity, bars: [], capabilities: [.msi(vectors: vectors, perVectorMasking: true)])
        let logarithm = UInt16(vectors.trailingZeroBitCount)
        #expect(function.word(0x42) == 1 << 8 | 1 << 7 | logarithm << 1)
        function.write(UInt32.max, at: 0x50)
        #expect(function.msi?.mask.nonzeroBitCount == vectors)
        function.setMSIPending(.max)
        #expect(function.msi?.pending.nonzeroBitCount == vectors)
        #expect(function.msi?.mask == function.msi?.pending)
        function.write(logarithm << 4, at: 0x42)
        #expect(function.msi?.vectors == vectors)
    }

    @Test func msiPendingBitsAreReadOnlyToTheGuest() throws {
        var function = try Sample.function()
        let base = try #require(function.capability(0x05))
        function.setMSIPending(0b0110)
        #expect(function.dword(base + 0x14) == 0b0110)
        #expect(function.write(UInt32.max, at: base + 0x14) == [])
        #expect(function.msi?.pending == 0b0110)
        function.setMSIPending(0)
        #expect(function.dword(base + 0x14) == 0)
    }

    @Test func withoutPerVectorMaskingThereIsNothingToMask() throws {
        var function = try ConfigurationSpace(
            identity: Sample.identity, bars: [], capabilities: [.msi(vectors: 2), .vendor([0xff])])
        #expect(function.word(0x42) == 1 << 7 | 1 << 1)
        #expect(function.byte(0x41) == 0x50)
        function.setMSIPending(.max)
        #expect(function.bytes(at: 0x50, count: 8) == [0x09, 0, 4, 0xff, 0, 0, 0, 0])
        #expect(function.msi?.mask == 0)
        #expect(function.msi?.pending == 0)
        var plain = try Sample.plain()
        plain.setMSIPending(.max)
        #expect(plain.msi == nil)
    }

    // MARK: MSI-X

    @Test func msixControlHasTwoBitsForTheGuest() throws {
        var function = try Sample.function()
        let base = try #require(function.capability(0x11))
        #expect(function.word(base + 2) == 69)
        #expect(function.dword(base + 4) == 0x1002)
        #expect(function.dword(base + 8) == 0x2002)
        #expect(try #require(function.msix).bits == (false, false))
        #expect(function.write(UInt16(1 << 15), at: base + 2) == .msix)
        #expect(try #require(function.msix).bits == (true, false))
        #expect(function.write(UInt16.max, at: base + 2) == .msix)
        #expect(try #require(function.msix).bits == (true, true))
        #expect(function.word(base + 2) == 0xc000 | 69)
        #expect(function.write([UInt8](repeating: 0xff, count: 8), at: base + 4) == [])
        #expect(function.dword(base + 4) == 0x1002)
    }

    @Test func msixLayoutTellsWhatTheShellServes() throws {
        let layout = try #require(Sample.function().msixLayout)
        #expect(layout.vectors == 70)
        #expect((layout.tableBAR, layout.tableOffset, layout.tableSize) == (2, 0x1000, 1120))
        #expect((layout.pendingBAR, layout.pendingOffset, layout.pendingSize) == (2, 0x2000, 16))
    }

    // MARK: PCI Express

    @Test func theExpressCapabilityIsAnEndpointWithFunctionLevelReset() throws {
        let function = try Sample.function()
        let base = try #require(function.capability(0x10))
        #expect(function.word(base + 2) & 0xf == 2)
        #expect(function.word(base + 2) >> 4 & 0xf == 0)
        #expect(function.dword(base + 4) & 1 << 28 != 0)
        #expect(function.dword(base + 0xc) & 0x3ff == 0x11)
        #expect(function.word(base + 0x12) & 0x3ff == 0x11)
    }

    @Test func initiatingAResetReadsBackAsZero() throws {
        var function = try Sample.function()
        let base = try #require(function.capability(0x10))
        let control = function.word(base + 8)
        #expect(function.write(control | 1 << 15, at: base + 8) == .functionLevelReset)
        #expect(function.word(base + 8) == control)
        #expect(function.write(control, at: base + 8) == [])
        #expect(function.write(UInt8(0xff), at: base + 9) == .functionLevelReset)
        #expect(function.write(UInt8(0xff), at: base + 8) == [])
    }

    @Test func resettingBringsBackThePowerOnValues() throws {
        var function = try Sample.function()
        let fresh = function.bytes(at: 0, count: 4096)
        function.write([UInt8](repeating: 0xff, count: 4096), at: 0)
        function.report(.errors)
        function.setInterruptStatus(true)
        function.setMSIPending(.max)
        #expect(function.bytes(at: 0, count: 4096) != fresh)
        function.reset()
        #expect(function.bytes(at: 0, count: 4096) == fresh)
    }
}

extension MSIX {
    fileprivate var bits: (enabled: Bool, functionMasked: Bool) { (enabled, functionMasked) }
}
