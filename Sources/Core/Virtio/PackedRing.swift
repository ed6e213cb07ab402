import GuestMemory
import Synchronization

/// A packed virtqueue: one ring of descriptors, which the device overwrites by what it has used.
/// VIRTIO 1.2, section 2.8.
final class PackedRing: Ring {
    /// A place in the ring, and the wrap counter there: how often the ring was gone round, modulo 2.
    struct Place: Equatable {
        var offset: Int
        var wrap: Bool

        init(offset: Int, wrap: Bool) {
            self.offset = offset
            self.wrap = wrap
        }

        /// As events have it: the wrap counter in bit 15.
        init(encoded: UInt16) {
            offset = Int(encoded & 0x7fff)
            wrap = encoded & 0x8000 != 0
        }

        var encoded: UInt16 { UInt16(truncatingIfNeeded: offset) | (wrap ? 0x8000 : 0) }

        /// - Parameter count: at most `size`, the ring's.
        mutating func advance(_ count: Int, in size: Int) {
            offset += count
            guard offset >= size else { return }
            offset -= size
            wrap.toggle()
        }

        /// What the flags of a descriptor are here when it is available.
        var availableFlags: Descriptor.Flags { wrap ? .available : .used }
        /// What they are when it is used.
        var usedFlags: Descriptor.Flags { wrap ? [.available, .used] : [] }
    }

    private let size: Int
    private let hasEventIndex: Bool
    private let ring: RingArea
    private let driverEvent: RingArea
    private let deviceEvent: RingArea

    private var available: Place
    private var used: Place
    /// How many places were gone over since an interrupt was last considered.
    private var unconsidered = 0

    init(_ layout: RingLayout, in memory: AddressSpace, at position: RingPosition) {
        size = layout.size
        hasEventIndex = layout.features.contains(.eventIndex)
        ring = RingArea(in: memory, at: layout.descriptorArea, size: Descriptor.size * size, access: [.read, .write])
        driverEvent = RingArea(in: memory, at: layout.driverArea, size: 4, access: .read)
        deviceEvent = RingArea(in: memory, at: layout.deviceArea, size: 4, access: .write)
        available = Place(encoded: position.available)
        used = Place(encoded: position.used)
    }

    /// Both at the beginning, with wrap counters of 1. Section 2.8.1.
    static let start = RingPosition(available: 0x8000, used: 0x8000)

    var position: RingPosition { RingPosition(available: available.encoded, used: used.encoded) }

    // MARK: Fields

    /// `pvirtq_desc`
    private static let length = 8
    private static let id = 12
    private static let flags = 14

    /// `pvirtq_event_suppress`: a place in the lower half, how to understand it in the upper one.
    private enum Event {
        /// `RING_EVENT_FLAGS_ENABLE`
        static let enable: UInt32 = 0 << 16
        /// `RING_EVENT_FLAGS_DISABLE`
        static let disable: UInt32 = 1 << 16
        /// `RING_EVENT_FLAGS_DESC`: at this place.
        static let descriptor: UInt32 = 2 << 16
        static let mask: UInt32 = 3 << 16
    }

    // MARK: Ring

    func pop() throws(VirtioFailure) -> RingChain? {
        // By an acquiring load: the rest is not read before the flags that tell of it.
        let flags = Descriptor.Flags(
            rawValue: try ring.load(UInt16.self, at: Descriptor.size * available.offset + Self.flags))
        guard flags.intersection([.available, .used]) == available.availableFlags else { return nil }
        var descriptors: [Descriptor] = []
        var place = available
        while true {
            let descriptor = try ring.load(Descriptor.self, at: Descriptor.size * place.offset)
            let flags = descriptor.flags(.packed)
            guard flags.intersection([.available, .used]) == place.availableFlags else {
                throw .descriptorNotAvailable(place.offset)
            }
            descriptors.append(descriptor)
            place.advance(1, in: size)
            guard flags.contains(.next) else {
                available = place
                return RingChain(id: descriptor.id, descriptors: descriptors)
            }
            guard descriptors.count < size else { throw .chainTooLong(maximum: size) }
        }
    }

    func addUsed(id: UInt16, count: Int, written: UInt32) throws(VirtioFailure) {
        let start = Descriptor.size * used.offset
        try ring.store(written, at: start + Self.length)
        try ring.store(id, at: start + Self.id)
        var flags = used.usedFlags
        if written > 0 { flags.insert(.write) }
        // By a releasing store: the rest, and the buffers' content, are there before the flags tell of them.
        try ring.store(flags.rawValue, at: start + Self.flags)
        used.advance(count, in: size)
        unconsidered += count
    }

    func setNotifications(_ on: Bool) throws(VirtioFailure) {
        let event: UInt32 =
            on ? hasEventIndex ? Event.descriptor | UInt32(available.encoded) : Event.enable : Event.disable
        try deviceEvent.store(event, at: 0)
        // The driver adds a chain, then looks here; the device stores here, then looks for chains. Section 2.8.21.
        if on { atomicMemoryFence(ordering: .sequentiallyConsistent) }
    }

    func needsNotification() throws(VirtioFailure) -> Bool {
        let gone = unconsidered
        guard gone > 0 else { return false }
        // The driver stores its wish, then looks at the ring: here it is the other way round.
        atomicMemoryFence(ordering: .sequentiallyConsistent)
        let event = try driverEvent.load(UInt32.self, at: 0)
        unconsidered = 0
        switch event & Event.mask {
        case Event.disable: return false
        case Event.descriptor where hasEventIndex:
            let place = Place(encoded: UInt16(truncatingIfNeeded: event))
            // How long ago the event's place was gone over: one for the last place.
            let distance = used.offset - place.offset + (place.wrap == used.wrap ? 0 : size)
            return (1...gone).contains(distance)
        default: return true
        }
    }
}
