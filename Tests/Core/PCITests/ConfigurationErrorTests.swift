import PCI
import Testing

@Suite struct ConfigurationErrorTests {
    private static let memory = BARLayout(index: 1, space: .memory32, size: 4096)
    private static let io = BARLayout(index: 0, space: .io, size: 32)

    private static func msix(
        vectors: Int = 16, table: (Int, UInt32) = (1, 0), pending: (Int, UInt32) = (1, 0x800)
    ) -> Capability {
        .msix(
            vectors: vectors, tableBAR: table.0, tableOffset: table.1, pendingBAR: pending.0,
            pendingOffset: pending.1)
    }

    private func error(_ bars: [BARLayout] = [], _ capabilities: [Capability] = [], rom: UInt64 = 0)
        -> ConfigurationError?
    {
        do throws(ConfigurationError) {
            _ = try ConfigurationSpace(
                identity: Sample.identity, bars: bars, capabilities: capabilities, romSize: rom)
            return nil
        } catch {
            #expect(error.description.hasSuffix("."))
            return error
        }
    }

    @Test(arguments: [-1, 6, Int.max])
    func barsAreNumberedZeroToFive(index: Int) {
        #expect(error([BARLayout(index: index, space: .io, size: 4)]) == .barIndex(index))
    }

    @Test func barsMayNotShareARegister() {
        let wide = BARLayout(index: 1, space: .memory64, size: 4096)
        let next = BARLayout(index: 2, space: .io, size: 4)
        #expect(error([Self.io, Self.io]) == .barOverlap(index: 0))
        #expect(error([wide, next]) == .barOverlap(index: 2))
        #expect(error([next, wide]) == .barOverlap(index: 2))
        #expect(error([Self.io, wide]) == nil)
        #expect(error([BARLayout(index: 5, space: .memory64, size: 4096)]) == .barWithoutUpperHalf(index: 5))
    }

    @Test(arguments: [
        (BARLayout.Space.io, [0, 1, 2, 6, 512, .max] as [UInt64], 4...256 as ClosedRange<UInt64>),
        (.memory32, [0, 8, 24, 4097, 1 << 32, .max], 16...0x8000_0000),
        (.memory64, [0, 8, 24, 4097, .max], 16...0x8000_0000_0000_0000),
    ])
    func barSizesArePowersOfTwoInTheirRange(space: BARLayout.Space, wrong: [UInt64], allowed: ClosedRange<UInt64>) {
        for size in wrong {
            #expect(
                error([BARLayout(index: 0, space: space, size: size)])
                    == .barSize(index: 0, size: size, allowed: allowed))
        }
        #expect(error([BARLayout(index: 0, space: space, size: allowed.lowerBound)]) == nil)
        #expect(error([BARLayout(index: 0, space: space, size: allowed.upperBound)]) == nil)
    }

    @Test func ioIsNeverPrefetchable() {
        #expect(
            error([BARLayout(index: 0, space: .io, size: 4, prefetchable: true)]) == .ioBARPrefetchable(index: 0))
    }

    @Test(arguments: [1, 1024, 3000, 32 << 20, UInt64.max])
    func romSizesArePowersOfTwoInTheirRange(size: UInt64) {
        #expect(error(rom: size) == .romSize(size, allowed: 2048...(16 << 20)))
    }

    @Test(arguments: [2048, 16 << 20] as [UInt64])
    func theSmallestAndLargestROMFit(size: UInt64) {
        #expect(error(rom: size) == nil)
    }

    @Test(arguments: [
        (Capability.powerManagement, "power management"), (.msi(vectors: 1), "MSI"), (.pciExpress, "PCI Express"),
        (msix(), "MSI-X"),
    ])
    func aCapabilityIsDeclaredOnce(capability: Capability, name: String) {
        #expect(error([Self.memory], [capability]) == nil)
        #expect(error([Self.memory], [capability, .vendor([]), capability]) == .capabilityTwice(name))
    }

    @Test func capabilitiesMustFitBeforeTheExtendedSpace() {
        #expect(error([], [.vendor([UInt8](repeating: 0, count: 189))]) == nil)
        #expect(
            error([], [.vendor([UInt8](repeating: 0, count: 190))]) == .capabilitiesTooLong(bytes: 196, available: 192))
        #expect(
            error([], [.vendor([UInt8](repeating: 0, count: 189)), .powerManagement])
                == .capabilitiesTooLong(bytes: 200, available: 192))
    }

    @Test(arguments: [(2, 8, 12, 16, 2), (4, 8, 12, 17, 17), (4, 17, 12, 8, 17), (4, 8, 18, 12, 18)])
    func aWindowIsInsideItsCapability(bar: Int, offset: Int, length: Int, data: Int, place: Int) {
        let window = BARWindow(bar: bar, offset: offset, length: length, data: data)
        let bytes = [UInt8](repeating: 0, count: 17)
        #expect(error([], [.vendor(bytes, window: window)]) == .window(place: place, capability: 20))
    }

    @Test func thereIsOneWindow() {
        let capability = Capability.vendor(
            [UInt8](repeating: 0, count: 17), window: BARWindow(bar: 4, offset: 8, length: 12, data: 16))
        #expect(error([], [capability]) == nil)
        #expect(error([], [capability, capability]) == .capabilityTwice("window into BARs"))
    }

    @Test(arguments: [0, -1, 3, 33, 64, Int.min, Int.max])
    func msiVectorsAreAPowerOfTwoUpTo32(vectors: Int) {
        #expect(error([], [.msi(vectors: vectors)]) == .msiVectors(vectors))
    }

    @Test(arguments: [0, -1, 2049, Int.min, Int.max])
    func msixVectorsAreUpTo2048(vectors: Int) {
        #expect(error([Self.memory], [Self.msix(vectors: vectors)]) == .msixVectors(vectors))
    }

    @Test func msixLiesInMemoryBARs() {
        let bars = [Self.io, Self.memory, BARLayout(index: 2, space: .memory64, size: 4096)]
        #expect(error(bars, [Self.msix(table: (0, 0))]) == .msixBAR(.table, bar: 0))
        #expect(error(bars, [Self.msix(pending: (5, 0))]) == .msixBAR(.pendingBits, bar: 5))
        #expect(error(bars, [Self.msix(table: (3, 0))]) == .msixBAR(.table, bar: 3))
        #expect(error(bars, [Self.msix(table: (-1, 0))]) == .msixBAR(.table, bar: -1))
        #expect(error(bars, [Self.msix(table: (2, 0))]) == nil)
    }

    @Test func msixIsAlignedAndInsideItsBARs() {
        let bars = [Self.memory]
        #expect(error(bars, [Self.msix(table: (1, 4))]) == .msixAlignment(.table, offset: 4))
        #expect(error(bars, [Self.msix(pending: (1, 0x801))]) == .msixAlignment(.pendingBits, offset: 0x801))
        #expect(
            error(bars, [Self.msix(table: (1, 3848))])
                == .msixOutsideBAR(.table, bar: 1, offset: 3848, size: 256, barSize: 4096))
        #expect(error(bars, [Self.msix(table: (1, 3840))]) == nil)
        #expect(
            error(bars, [Self.msix(vectors: 257)])
                == .msixOutsideBAR(.table, bar: 1, offset: 0, size: 4112, barSize: 4096))
        #expect(
            error(bars, [Self.msix(pending: (1, 4096))])
                == .msixOutsideBAR(.pendingBits, bar: 1, offset: 4096, size: 8, barSize: 4096))
        #expect(
            error(bars, [Self.msix(pending: (1, 0xffff_fff8))])
                == .msixOutsideBAR(.pendingBits, bar: 1, offset: 0xffff_fff8, size: 8, barSize: 4096))
        #expect(error(bars, [Self.msix(pending: (1, 4088))]) == nil)
    }

    @Test func msixTableAndPendingBitsMayNotOverlap() {
        let bars = [Self.memory, BARLayout(index: 2, space: .memory32, size: 4096)]
        #expect(error(bars, [Self.msix(pending: (1, 248))]) == .msixOverlap(bar: 1))
        #expect(error(bars, [Self.msix(pending: (1, 256))]) == nil)
        #expect(error(bars, [Self.msix(pending: (2, 0))]) == nil)
        #expect(error(bars, [Self.msix(table: (1, 8), pending: (1, 0))]) == nil)
        #expect(error(bars, [Self.msix(vectors: 65, table: (1, 8), pending: (1, 0))]) == .msixOverlap(bar: 1))
    }

    @Test func errorsOfStatesAreSentences() {
        for error in [
            ConfigurationError.stateRegisters, .stateBits(register: "Command", value: 8, allowed: 7),
            .stateField(register: "Command", value: 8, allowed: [1, 2]), .stateVectors(1, expected: 2),
            .stateAddress(3, vector: 1),
        ] {
            #expect(error.description.hasSuffix("."))
        }
        #expect(
            ConfigurationError.stateBits(register: "Command", value: 0x1008, allowed: 0x547).description
                == "In the state Command is 0x1008, but only the bits 0x547 can change.")
    }
}
