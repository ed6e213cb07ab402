/// The regions of a PCI function, as vfio-pci numbers them: 0 to 5 are the BARs. `VFIO_PCI_…_REGION_INDEX`
public enum RegionIndex {
    public static let bar0 = 0
    public static let bar5 = 5
    public static let rom = 6
    public static let configuration = 7
    /// No function here has one.
    public static let vga = 8
    /// VFIO_PCI_NUM_REGIONS
    public static let count = 9
    /// A number for each region, by its index.
    public typealias Counts = InlineArray<9, UInt64>
    /// What counters and reports call them, by index.
    public static let names = ["bar0", "bar1", "bar2", "bar3", "bar4", "bar5", "rom", "config", "vga"]
}
