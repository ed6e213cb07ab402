/// What the guest has set up in the MSI-X capability; the messages are in the ``MSIXTable``.
/// PCI Local Bus Specification 3.0, section 6.8.2.
public struct MSIX: Equatable, Sendable {
    public let enabled: Bool
    /// Every vector is held back, whatever its own mask bit says.
    public let functionMasked: Bool
}

extension MSIX {
    static let id: UInt8 = 0x11
    static let length = 12
    static let maximumVectors = 2048

    /// From the capability's start.
    static let controlOffset = 0x02
    static let enable: UInt16 = 1 << 15
    static let functionMask: UInt16 = 1 << 14

    static func registers(at base: Int, _ layout: MSIXLayout) -> [ConfigurationSpace.Register] {
        [
            .init(
                "MSI-X Message Control", at: base + controlOffset, .word, reset: UInt32(layout.vectors - 1),
                writable: UInt32(enable | functionMask), changes: .msix),
            .init(
                "MSI-X Table", at: base + 4, .dword, reset: layout.tableOffset | UInt32(layout.tableBAR)),
            .init(
                "MSI-X Pending Bit Array", at: base + 8, .dword,
                reset: layout.pendingOffset | UInt32(layout.pendingBAR)),
        ]
    }
}

/// Where MSI-X's two structures are served. Values exist only for layouts that fit their BARs.
public struct MSIXLayout: Equatable, Sendable {
    /// 1 to 2048.
    public let vectors: Int
    public let tableBAR: Int
    /// In bytes from the start of the BAR; a multiple of 8.
    public let tableOffset: UInt32
    public let pendingBAR: Int
    /// In bytes from the start of the BAR; a multiple of 8.
    public let pendingOffset: UInt32

    /// In bytes: 16 for each vector.
    public var tableSize: UInt64 { UInt64(vectors) * 16 }
    /// In bytes: 8 for each 64 vectors, the last ones rounded up.
    public var pendingSize: UInt64 { UInt64(vectors + 63) / 64 * 8 }

    init(
        vectors: Int, tableBAR: Int, tableOffset: UInt32, pendingBAR: Int, pendingOffset: UInt32, bars: [BARLayout]
    ) throws(ConfigurationError) {
        guard (1...MSIX.maximumVectors).contains(vectors) else { throw .msixVectors(vectors) }
        self.vectors = vectors
        self.tableBAR = tableBAR
        self.tableOffset = tableOffset
        self.pendingBAR = pendingBAR
        self.pendingOffset = pendingOffset

        try Self.check(.table, bar: tableBAR, offset: tableOffset, size: tableSize, in: bars)
        try Self.check(.pendingBits, bar: pendingBAR, offset: pendingOffset, size: pendingSize, in: bars)
        let table = UInt64(tableOffset)..<UInt64(tableOffset) + tableSize
        let pending = UInt64(pendingOffset)..<UInt64(pendingOffset) + pendingSize
        guard tableBAR != pendingBAR || !table.overlaps(pending) else { throw .msixOverlap(bar: tableBAR) }
    }

    private static func check(
        _ structure: ConfigurationError.MSIXStructure, bar index: Int, offset: UInt32, size: UInt64,
        in bars: [BARLayout]
    ) throws(ConfigurationError) {
        guard let bar = bars.first(where: { $0.index == index }), bar.space != .io else {
            throw .msixBAR(structure, bar: index)
        }
        // The low three bits of the register name the BAR.
        guard offset % 8 == 0 else { throw .msixAlignment(structure, offset: offset) }
        guard size <= bar.size, UInt64(offset) <= bar.size - size else {
            throw .msixOutsideBAR(structure, bar: index, offset: offset, size: size, barSize: bar.size)
        }
    }
}

extension ConfigurationSpace {
    /// The state of the MSI-X capability; nil when there is none.
    public var msix: MSIX? {
        guard let base = msixCapability else { return nil }
        let control = load(base + MSIX.controlOffset, as: UInt16.self)
        return MSIX(enabled: control & MSIX.enable != 0, functionMasked: control & MSIX.functionMask != 0)
    }
}
