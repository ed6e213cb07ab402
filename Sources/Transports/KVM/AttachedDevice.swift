import PCI

/// What is in a slot of the bus. It looks after its own BARs: where the guest has put them, and what answers there
/// without an exit.
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
