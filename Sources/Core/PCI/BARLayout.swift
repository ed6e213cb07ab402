/// One base address register: where it stands in the header, what it decodes and how much.
/// PCI Local Bus Specification 3.0, section 6.2.5.1.
public struct BARLayout: Equatable, Sendable {
    /// What kind of addresses the register decodes.
    public enum Space: Equatable, Sendable {
        case io
        case memory32
        /// Takes the next register as well, for the upper half of the address.
        case memory64
    }

    /// 0 to 5.
    public var index: Int
    public var space: Space
    /// In bytes; a power of two, at least 4 for I/O and 16 for memory.
    public var size: UInt64
    /// Reads have no side effects and writes may be merged.
    public var prefetchable: Bool

    public init(index: Int, space: Space, size: UInt64, prefetchable: Bool = false) {
        self.index = index
        self.space = space
        self.size = size
        self.prefetchable = prefetchable
    }
}
