/// A capability in the list of a function's configuration space, as data. The list has the
/// order in which the capabilities are declared.
public enum Capability: Equatable, Sendable {
    /// PCI Power Management, D0 and D3hot, no PME. PCI Bus Power Management Interface Specification 1.2.
    case powerManagement
    /// Message-signalled interrupts with 64-bit addresses.
    /// - vectors: a power of two from 1 to 32.
    case msi(vectors: Int, perVectorMasking: Bool = false)
    /// MSI-X. Table and pending-bit array lie in memory BARs and are served by the shell.
    /// - vectors: 1 to 2048. The table takes 16 bytes for each, the array 8 bytes for each 64.
    case msix(vectors: Int, tableBAR: Int, tableOffset: UInt32, pendingBAR: Int, pendingOffset: UInt32)
    /// A PCI Express endpoint (version 2) with function-level reset. Also gives the function its
    /// 4 KiB extended configuration space.
    case pciExpress
    /// Vendor-specific: the bytes after ID, next pointer and length. Read-only, but for the registers of a window. At
    /// most 189, with no other capability.
    case vendor([UInt8], window: BARWindow? = nil)
}
