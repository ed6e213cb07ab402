import Linux
import PCI

/// One BAR of a device, as data: what it decodes, and which parts of it need no trap.
public struct BAR: Sendable {
    public var layout: BARLayout
    /// Memory behind the BAR, byte for byte from its beginning; needed where parts are mapped.
    public var memory: MappedBytes?
    /// Parts of the BAR that clients may map, and that accesses by message find in ``memory`` too. Sorted,
    /// page-aligned, not overlapping.
    public var mapped: [Range<UInt64>]
    /// Addresses where a write does nothing but notify the device. Sorted, not overlapping.
    public var doorbells: [Doorbell]
    /// Where the values of doorbells with ``Doorbell/keepsValue`` lie, each at its place in the BAR, in eight bytes.
    /// The guest never sees it.
    public var shadow: MappedBytes?
    /// Ranges of registers whose accesses a hypervisor may send straight to the device's thread (ioregionfd). Sorted,
    /// not overlapping.
    public var ioregions: [Range<UInt64>] = []
    /// Nothing in it can be written: a page of *shared* registers, which guests read with no trap.
    public var isReadOnly = false
    /// What is in the memory is part of no state: while there is any, the device refuses to be saved.
    /// ``Device/requireSavable()``
    public var isTransient = false

    /// A BAR in memory space.
    ///
    /// - Parameters:
    ///   - index: 0 to 5. A 64-bit BAR also takes the next index.
    ///   - size: in bytes, a power of two, at least 16.
    ///   - memory: at least `size` bytes, for ``mapped``.
    ///   - mapped: all of the BAR unless given, when there is memory.
    ///   - shadow: for doorbells that keep their values: at least 8 bytes more than the last one's offset.
    ///   - ioregions: see ``ioregions``.
    public static func memory(
        _ index: Int, size: UInt64, prefetchable: Bool = false, is64Bit: Bool = false,
        memory: MappedBytes? = nil, mapped: [Range<UInt64>]? = nil, doorbells: [Doorbell] = [],
        shadow: MappedBytes? = nil, ioregions: [Range<UInt64>] = []
    ) -> BAR {
        let layout = BARLayout(
            index: index, space: is64Bit ? .memory64 : .memory32, size: size, prefetchable: prefetchable)
        return BAR(
            layout: layout, memory: memory, mapped: memory == nil ? [] : mapped ?? [0..<size], doorbells: doorbells,
            shadow: shadow, ioregions: ioregions)
    }

    /// A BAR of shared registers: guests read them from memory, with no trap, and can't write to them.
    ///
    /// The device keeps the memory current, as a place to tell what it knows; it never reads it.
    ///
    /// - Parameter memory: made with `isOwnAlone`; its size is the BAR's, whole pages and a power of two.
    public static func shared(_ index: Int, _ memory: MappedBytes) -> BAR {
        var bar = BAR.memory(index, size: UInt64(memory.size), memory: memory)
        bar.isReadOnly = true
        return bar
    }

    /// A BAR in I/O space.
    ///
    /// - Parameter size: in bytes, a power of two from 4 to 256.
    public static func io(_ index: Int, size: UInt64, doorbells: [Doorbell] = []) -> BAR {
        BAR(layout: BARLayout(index: index, space: .io, size: size), memory: nil, mapped: [], doorbells: doorbells)
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
    /// The last value written matters too, such as a queue's tail: the device gets it when the doorbell rings, whatever
    /// way it came.
    public var keepsValue: Bool

    /// - Parameter offset: a multiple of 8 when the doorbell keeps its value.
    public init(at offset: UInt64, width: AccessWidth = .dword, match: UInt64? = nil, keepsValue: Bool = false) {
        self.offset = offset
        self.width = width
        self.match = match
        self.keepsValue = keepsValue
    }
}
