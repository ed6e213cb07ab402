import VFIO
import VFIOUser

/// Where a device's MSI and MSI-X registers are, from its capability list.
struct MessageCapabilities {
    /// The offset of the MSI capability.
    private(set) var msi: UInt64?
    private(set) var msix: MSIX?

    struct MSIX {
        let offset: UInt64
        let vectors: Int
        let tableBAR: Int
        let tableOffset: UInt64

        var tableSize: UInt64 { UInt64(vectors) * 16 }
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
    func touches(_ range: Range<UInt64>) -> Bool {
        [msi.map { $0..<$0 + 24 }, msix.map { $0.offset..<$0.offset + 4 }].contains { $0?.overlaps(range) == true }
    }

    func isInTable(_ bar: Int, _ offset: UInt64) -> Bool {
        guard let msix, bar == msix.tableBAR else { return false }
        return offset >= msix.tableOffset && offset - msix.tableOffset < msix.tableSize
    }
}
