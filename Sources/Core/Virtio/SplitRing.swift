import GuestMemory
import Synchronization

/// A split virtqueue: a table of descriptors, a ring of heads by the driver, a ring of heads by the device.
/// VIRTIO 1.2, section 2.7.
final class SplitRing: Ring {
    private let size: Int
    private let hasEventIndex: Bool
    private let table: RingArea
    private let driverRing: RingArea
    private let deviceRing: RingArea

    /// Index of the next head to be taken.
    private var available: UInt16
    /// The driver's index as last seen: heads before it can be taken with no further look.
    private var published: UInt16
    private var used: UInt16
    /// ``used`` when an interrupt was last considered.
    private var considered: UInt16

    init(_ layout: RingLayout, in memory: AddressSpace, at position: RingPosition) {
        size = layout.size
        hasEventIndex = layout.features.contains(.eventIndex)
        let event = hasEventIndex ? 2 : 0
        table = RingArea(in: memory, at: layout.descriptorArea, size: Descriptor.size * size, access: .read)
        driverRing = RingArea(in: memory, at: layout.driverArea, size: 4 + 2 * size + event, access: .read)
        deviceRing = RingArea(in: memory, at: layout.deviceArea, size: 4 + 8 * size + event, access: .write)
        available = position.available
        published = position.available
        used = position.used
        considered = position.used
    }

    var position: RingPosition { RingPosition(available: available, used: used) }

    // MARK: The rings' fields

    /// `virtq_avail`, `virtq_used`: flags, index, and as many entries as the ring is long.
    private static let flags = 0
    private static let index = 2
    private static let entries = 4
    /// `used_event`: the driver wants an interrupt when the chain of this index is given.
    private var usedEvent: Int { Self.entries + 2 * size }
    /// `avail_event`: the device wants to hear when the chain of this index is available.
    private var availableEvent: Int { Self.entries + 8 * size }

    /// `VIRTQ_AVAIL_F_NO_INTERRUPT`
    private static let noInterrupt: UInt16 = 1
    /// `VIRTQ_USED_F_NO_NOTIFY`
    private static let noNotify: UInt16 = 1

    // MARK: Ring

    func pop() throws(VirtioFailure) -> RingChain? {
        if available == published {
            // By an acquiring load: heads and descriptors are not read before the index that tells of them.
            published = try driverRing.load(UInt16.self, at: Self.index)
            let ahead = Int(published &- available)
            guard ahead <= size else { throw .availableIndex(ahead: ahead, size: size) }
            guard ahead > 0 else { return nil }
        }
        let head = try driverRing.load(UInt16.self, at: Self.entries + 2 * (Int(available) % size))
        let chain = RingChain(id: head, descriptors: try descriptors(from: head))
        available &+= 1
        return chain
    }

    private func descriptors(from head: UInt16) throws(VirtioFailure) -> [Descriptor] {
        var descriptors: [Descriptor] = []
        var index = Int(head)
        while true {
            guard index < size else { throw .descriptorIndex(index, count: size) }
            guard descriptors.count < size else { throw .chainTooLong(maximum: size) }
            let descriptor = try table.load(Descriptor.self, at: Descriptor.size * index)
            descriptors.append(descriptor)
            guard descriptor.flags(.split).contains(.next) else { return descriptors }
            index = Int(descriptor.next)
        }
    }

    func addUsed(id: UInt16, count: Int, written: UInt32) throws(VirtioFailure) {
        // virtq_used_elem: the head, then the length.
        let element = UInt64(id) | UInt64(written) << 32
        try deviceRing.store(element, at: Self.entries + 8 * (Int(used) % size))
        // By a releasing store: the element, and the buffers' content, are there before the index tells of them.
        try deviceRing.store(used &+ 1, at: Self.index)
        used &+= 1
    }

    func setNotifications(_ on: Bool) throws(VirtioFailure) {
        if hasEventIndex {
            // An event that the driver has gone past tells of nothing more: there is nothing to switch off.
            if on { try deviceRing.store(available, at: availableEvent) }
        } else {
            try deviceRing.store(on ? 0 : Self.noNotify, at: Self.flags)
        }
        // The driver adds a chain, then looks here; the device stores here, then looks for chains. Section 2.7.10.
        if on { atomicMemoryFence(ordering: .sequentiallyConsistent) }
    }

    func needsNotification() throws(VirtioFailure) -> Bool {
        let before = considered
        guard used != before else { return false }
        // The driver stores its wish, then looks at the index: here it is the other way round. Section 2.7.8.
        atomicMemoryFence(ordering: .sequentiallyConsistent)
        let wish = try driverRing.load(UInt16.self, at: hasEventIndex ? usedEvent : Self.flags)
        considered = used
        guard hasEventIndex else { return wish & Self.noInterrupt == 0 }
        // Whether the event is among the indexes from `before` up to but not including `used`, modulo 2^16.
        return used &- wish &- 1 < used &- before
    }
}
