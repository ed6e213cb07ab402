import Linux
import PCI

/// One BAR of a device, as data: what it decodes, and which parts of it need no trap.
public struct BAR: Sendable {
    public var layout: BARLayout
    /// Parts that clients may map. Sorted, page-aligned, not overlapping.
    public var mapped: [MappedArea]
    /// Addresses where a write does nothing but notify the device. Sorted, not overlapping.
    public var doorbells: [Doorbell]

    /// A BAR in memory space.
    ///
    /// - Parameters:
    ///   - index: 0 to 5. A 64-bit BAR also takes the next index.
    ///   - size: in bytes, a power of two, at least 16.
    public static func memory(
        _ index: Int, size: UInt64, prefetchable: Bool = false, is64Bit: Bool = false,
        mapped: [MappedArea] = [], doorbells: [Doorbell] = []
    ) -> BAR {
        let layout = BARLayout(
            index: index, space: is64Bit ? .memory64 : .memory32, size: size, prefetchable: prefetchable)
        return BAR(layout: layout, mapped: mapped, doorbells: doorbells)
    }

    /// A BAR in I/O space.
    ///
    /// - Parameter size: in bytes, a power of two from 4 to 256.
    public static func io(_ index: Int, size: UInt64) -> BAR {
        BAR(layout: BARLayout(index: index, space: .io, size: size), mapped: [], doorbells: [])
    }
}

/// A part of a BAR that is plain memory: clients map it, and accesses by message go to the same bytes.
public struct MappedArea: Sendable {
    /// Where it begins in the BAR; a multiple of 4096.
    public var offset: UInt64
    /// The memory behind it. The area's size is the memory's.
    public var memory: MemoryFile

    /// In bytes.
    public var size: UInt64 { UInt64(memory.size) }

    public init(offset: UInt64 = 0, memory: MemoryFile) {
        self.offset = offset
        self.memory = memory
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
