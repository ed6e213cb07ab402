import PCI

/// A BAR that the guest has placed and switched on, and what answers there without an exit.
struct PlacedBAR {
    let placement: BARPlacement
    /// In bytes.
    let size: UInt64
    /// They last as long as the BAR stays where it is.
    let memory: [VirtualMachine.MemorySlot]
    let events: [VirtualMachine.WriteEvent]

    func contains(_ address: UInt64, count: Int) -> Bool {
        address >= placement.address && address - placement.address <= size
            && UInt64(count) <= size - (address - placement.address)
    }
}

extension [PlacedBAR?] {
    /// The one that is at an address, by its index, and the offset in it.
    func decode(_ address: UInt64, width: Int, in space: BARPlacement.Space) -> (bar: Int, offset: UInt64)? {
        for (index, bar) in enumerated() {
            if let bar, bar.placement.space == space, bar.contains(address, count: width) {
                return (index, address - bar.placement.address)
            }
        }
        return nil
    }
}
