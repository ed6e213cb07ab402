import PCI
import VFIO
import VFIOUserClient

/// Where the registers are that a monitor must look at, from a device's capability list.
struct DeviceCapabilities {
    /// The offset of the power management capability.
    private(set) var powerManagement: UInt64?
    /// The offset of the PCI Express capability.
    private(set) var express: UInt64?
    /// The offset of the MSI capability.
    private(set) var msi: UInt64?
    private(set) var msix: MSIX?

    struct MSIX {
        let offset: UInt64
        let vectors: Int
        let tableBAR: Int
        let tableOffset: UInt64
    }

    /// - Throws: `ClientError` when configuration space can't be read.
    init(_ client: Client) throws(ClientError) {
        func read<Value: FixedWidthInteger & BitwiseCopyable>(
            _ type: Value.Type, _ offset: UInt64
        ) throws(ClientError) -> Value {
            try client.read(type, region: RegionIndex.configuration, offset: offset)
        }
        var position = UInt64(try read(UInt8.self, 0x34)) & 0xfc
        // A list that is longer than there is room for goes in circles.
        for _ in 0..<48 where position >= 0x40 {
            let id = try read(UInt8.self, position)
            if id == 0x01, powerManagement == nil { powerManagement = position }
            if id == 0x10, express == nil { express = position }
            if id == 0x05, msi == nil { msi = position }
            if id == 0x11, msix == nil {
                let table = try read(UInt32.self, position + 4)
                msix = MSIX(
                    offset: position, vectors: Int(try read(UInt16.self, position + 2) & 0x7ff) + 1,
                    tableBAR: Int(table & 7), tableOffset: UInt64(table & ~7))
            }
            position = UInt64(try read(UInt8.self, position + 1)) & 0xfc
        }
    }

    /// Whether a write there can change where messages go.
    func setsMessages(_ range: Range<UInt64>) -> Bool {
        [msi.map { $0..<$0 + 24 }, msix.map { $0.offset..<$0.offset + 4 }].contains { $0?.overlaps(range) == true }
    }

    /// Whether a write there can put the function to sleep or reset it: PMCSR, and the device control register.
    func setsPower(_ range: Range<UInt64>) -> Bool {
        [powerManagement.map { $0 + 4..<$0 + 6 }, express.map { $0 + 8..<$0 + 10 }]
            .contains { $0?.overlaps(range) == true }
    }

    /// The MSI-X vectors to whose entries an access goes; empty when it goes elsewhere.
    func vectors(at offset: UInt64, width: Int, of bar: Int) -> Range<Int> {
        guard let msix, bar == msix.tableBAR, offset >= msix.tableOffset, width > 0 else { return 0..<0 }
        let first = (offset - msix.tableOffset) / 16
        let last = (offset - msix.tableOffset + UInt64(width - 1)) / 16
        guard first < UInt64(msix.vectors) else { return 0..<0 }
        return Int(first)..<min(Int(last) + 1, msix.vectors)
    }
}
