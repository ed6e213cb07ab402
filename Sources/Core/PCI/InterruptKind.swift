/// The kinds of interrupt that a PCI function has, as vfio-pci numbers them. `VFIO_PCI_…_IRQ_INDEX`
public enum InterruptKind: UInt32, CaseIterable, Sendable {
    /// The pin, level-triggered.
    case intx = 0
    case msi = 1
    case msix = 2
    /// An uncorrectable error, told to the hypervisor.
    case error = 3
    /// The device asks to be let go.
    case request = 4

    /// A number for each kind, by its raw value.
    public typealias Counts = InlineArray<5, UInt64>

    /// What counters and reports call it: a case that is renamed changes these.
    public var name: String { "\(self)" }
}
