import Linux
import PCI

/// One BAR of a device, as data: what it decodes, and which parts of it need no trap.
public struct BAR: Sendable {
    public var layout: BARLayout
    /// Memory behind the BAR, byte for byte from its beginning; needed where parts are mapped.
    public var memory: MemoryFile?
    /// Parts of the BAR that clients may map, and that accesses by message find in ``memory`` too. Sorted,
    /// page-aligned, not overlapping.
    public var mapped: [Range<UInt64>]
    /// Addresses where a write does nothing but notify the device. Sorted, not overlapping.
    public var doorbells: [Doorbell]

    /// A BAR in memory space.
    ///
    /// - Parameters:
    ///   - index: 0 to 5. A 64-bit BAR also takes the next index.
    ///   - size: in bytes, a power of two, at least 16.
    ///   - memory: at least `size` bytes, for ``mapped``.
    ///   - mapped: all of the BAR unless given, when there is memory.
    public static func memory(
        _ index: Int, size: UInt64, prefetchable: Bool = false, is64Bit: Bool = false,
        memory: MemoryFile? = nil, mapped: [Range<UInt64>]? = nil, doorbells: [Doorbell] = []
    ) -> BAR {
        let layout = BARLayout(
            index: index, space: is64Bit ? .memory64 : .memory32, size: size, prefetchable: prefetchable)
        return BAR(
            layout: layout, memory: memory, mapped: memory == nil ? [] : mapped ?? [0..<size], doorbells: doorbells)
    }

    /// A BAR in I/O space.
    ///
    /// - Parameter size: in bytes, a power of two from 4 to 256.
    public static func io(_ index: Int, size: UInt64) -> BAR {
        BAR(layout: BARLayout(index: index, space: .io, size: size), memory: nil, mapped: [], doorbells: [])
    }
}

/// An address in a BAR where a write means no more than that it happened. It can reach the device as
/// an eventfd (KVM's ioeventfd) with no trip through the VMM, or as an ordinary write.
public struct Doorbell: Hashable, Sendable {
    /// Where it is in the BAR.
    public var offset: UInt64
    public var width: AccessWidth
    /// Only a write of this value rings; other values are ordinary register writes.
    public var match: UInt64?

    public init(at offset: UInt64, width: AccessWidth = .long, match: UInt64? = nil) {
        self.offset = offset
        self.width = width
        self.match = match
    }
}
