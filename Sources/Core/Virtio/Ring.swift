import GuestMemory

/// The way by which driver and device hand chains to each other: a ``SplitRing`` or a ``PackedRing``.
///
/// All of it is guest memory, which is copied and then checked. When some of it isn't there the ring stays as it is,
/// and the same can be tried again; any other failure leaves it unusable until it is made anew.
protocol Ring: AnyObject {
    /// The next chain that the driver has made available; nil when there is none.
    func pop() throws(VirtioFailure) -> RingChain?

    /// Hands a chain back. The order need not be that in which chains were taken.
    ///
    /// - Parameters:
    ///   - count: how many descriptors of the ring or its table it has.
    ///   - written: in bytes, from the beginning of the writable part.
    func addUsed(id: UInt16, count: Int, written: UInt32) throws(VirtioFailure)

    /// Says whether the driver should tell of chains that it makes available from now on. After it was switched on,
    /// look once more: a driver may have added one before it saw that.
    func setNotifications(_ on: Bool) throws(VirtioFailure)

    /// Whether the driver wants an interrupt for what was given since last asked.
    func needsNotification() throws(VirtioFailure) -> Bool

    var position: RingPosition { get }
}

/// A chain as it lies in the ring: descriptors not yet looked into.
struct RingChain: Codable, Equatable, Sendable {
    /// The head's number in a split ring, the buffer ID in a packed one.
    var id: UInt16
    /// At least one. Only the last may be indirect.
    var descriptors: [Descriptor]
}

/// How far a ring is: of a split one the indexes, which count on and wrap at 2^16; of a packed one the offsets, with
/// the wrap counters in bit 15.
struct RingPosition: Codable, Equatable, Sendable {
    /// The next chain to be taken.
    var available: UInt16
    /// The next one to be given.
    var used: UInt16
}

/// Where a ring is, and how it works.
struct RingLayout: Sendable {
    /// In descriptors.
    var size: Int
    var descriptorArea: UInt64
    var driverArea: UInt64
    var deviceArea: UInt64
    var features: VirtioFeatures

    /// - Parameter maximum: what the device has room for.
    func check(maximum: Int) throws(VirtioFailure) {
        let isPacked = features.contains(.packedRing)
        guard (1...maximum).contains(size), isPacked || size & (size - 1) == 0 else {
            throw .queueSize(size, maximum: maximum)
        }
        // VIRTIO 1.2, sections 2.7 and 2.8.
        let areas: [(address: UInt64, alignment: UInt64)] = [
            (descriptorArea, 16), (driverArea, isPacked ? 4 : 2), (deviceArea, 4),
        ]
        for area in areas where area.address % area.alignment != 0 {
            throw .misaligned(address: area.address, alignment: area.alignment)
        }
    }

    /// Whether a ring can be here that has `count` chains, with `descriptors` descriptors in all, in flight.
    func admits(_ position: RingPosition, chains count: Int, descriptors: Int) -> Bool {
        guard features.contains(.packedRing) else { return Int(position.available &- position.used) == count }
        let available = PackedRing.Place(encoded: position.available)
        let used = PackedRing.Place(encoded: position.used)
        guard available.offset < size, used.offset < size else { return false }
        let distance = available.offset - used.offset + (available.wrap == used.wrap ? 0 : size)
        return distance == descriptors
    }

    func ring(in memory: AddressSpace, at position: RingPosition) -> any Ring {
        features.contains(.packedRing)
            ? PackedRing(self, in: memory, at: position) : SplitRing(self, in: memory, at: position)
    }
}

/// A part of a ring, kept mapped as long as the hypervisor doesn't unmap it.
final class RingArea {
    private let memory: AddressSpace
    private let address: UInt64
    private let size: Int
    private let access: DMAAccess
    private var pin: Pin?

    init(in memory: AddressSpace, at address: UInt64, size: Int, access: DMAAccess) {
        self.memory = memory
        self.address = address
        self.size = size
        self.access = access
    }

    /// - Parameter offset: from 0; the value ends inside the area.
    func load<Value: BitwiseCopyable>(_: Value.Type, at offset: Int) throws(VirtioFailure) -> Value {
        do throws(DMAError) {
            return try pinned().load(Value.self, at: address + UInt64(offset))
        } catch {
            throw .memory(error)
        }
    }

    func store<Value: BitwiseCopyable>(_ value: Value, at offset: Int) throws(VirtioFailure) {
        do throws(DMAError) {
            try pinned().store(value, at: address + UInt64(offset))
        } catch {
            throw .memory(error)
        }
    }

    /// A hypervisor may unmap the ring and map it again, at another place of this process.
    private func pinned() throws(DMAError) -> Pin {
        if let pin, pin.isValid { return pin }
        let pin = try memory.pin(address: address, size: UInt64(size), access: access, onInvalidation: {})
        self.pin = pin
        return pin
    }
}
