import PCI

/// What is in a slot of the bus. It looks after its own BARs: where the guest has put them, and what answers there without an exit.
protocol AttachedDevice: AnyObject {
    func readConfiguration(at register: UInt64, width: Int) -> UInt64
    func writeConfiguration(at register: UInt64, width: Int, value: UInt64)

    /// The BAR that is at an address now, and the offset in it; nil when none of this device's is.
    func decode(_ address: UInt64, width: Int, in space: BARPlacement.Space) -> (bar: Int, offset: UInt64)?
    func readBAR(_ bar: Int, at offset: UInt64, width: Int) -> UInt64
    func writeBAR(_ bar: Int, at offset: UInt64, width: Int, value: UInt64)

    /// What the device or KVM refused while the guest was running, the first few: the machine goes on without.
    var troubles: [String] { get }
}

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

/// The first few things that went wrong, in sentences: a guest can make any number of them happen.
struct Troubles {
    private static let most = 16
    private(set) var all: [String] = []

    mutating func note(_ what: String, _ error: any Error) {
        if all.count < Self.most { all.append("\(what): \(error)") }
    }
}
