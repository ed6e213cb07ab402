import GuestMemory

/// One queue: its registers, its ring while it runs, and which chains are in flight.
final class Virtqueue {
    let index: Int
    let maximumSize: Int
    unowned let port: VirtioPort

    /// What a driver sets up by the common configuration structure. VIRTIO 1.2, section 4.1.4.3.
    struct Registers: Codable, Equatable, Sendable {
        var size: UInt16
        var vector = noVector
        var isEnabled = false
        var descriptorArea: UInt64 = 0
        var driverArea: UInt64 = 0
        var deviceArea: UInt64 = 0
    }

    var registers: Registers
    /// Counts resets: chains of an earlier generation are not in flight any more.
    private(set) var generation: UInt64 = 0
    private var ring: (any Ring)?
    private var inFlight: [Chain] = []
    private var idsInFlight: Set<UInt16> = []
    private var descriptorsInFlight = 0
    /// Chains that were in flight when the state was saved, and that the device has not taken again yet.
    private var restored: ArraySlice<RingChain> = []
    /// Whether the driver tells of new chains.
    private var isNotified = true
    /// How many chains may still be taken in this turn.
    private var budget = 0
    /// What the device had copied when the turn began, in bytes.
    private var copiedBefore: UInt64 = 0
    /// Something was given, and the driver not yet told.
    private(set) var hasNews = false
    /// The device is to be called although the driver tells of nothing.
    var isDue = false

    /// How many chains a device may take before all else has its turn.
    static let chainsPerTurn = 64
    /// How many bytes it may have copied for them, after which it takes no more: as many as a picture of 3840x2160 pixels has.
    /// What one chain asks for is done in one piece.
    static let bytesPerTurn: UInt64 = 32 << 20

    init(_ index: Int, maximumSize: Int, port: VirtioPort) {
        self.index = index
        self.maximumSize = maximumSize
        self.port = port
        registers = Registers(size: UInt16(maximumSize))
    }

    private func layout(_ registers: Registers, _ features: VirtioFeatures) -> RingLayout {
        RingLayout(
            size: Int(registers.size), descriptorArea: registers.descriptorArea, driverArea: registers.driverArea,
            deviceArea: registers.deviceArea, features: features)
    }

    var memory: AddressSpace { port.host.memory }

    // MARK: Life

    func enable() throws(VirtioFailure) {
        let layout = layout(registers, port.features)
        try layout.check(maximum: maximumSize)
        registers.isEnabled = true
        let start = layout.features.contains(.packedRing) ? PackedRing.start : RingPosition(available: 0, used: 0)
        ring = layout.ring(in: memory, at: start)
    }

    /// Takes no chains any more, and gives none back.
    func stop() {
        generation &+= 1
        ring = nil
        inFlight.removeAll()
        idsInFlight.removeAll()
        descriptorsInFlight = 0
        restored = []
        isNotified = true
        budget = 0
        hasNews = false
        isDue = false
    }

    /// Stops, and forgets what the driver has set up.
    func reset() {
        stop()
        registers = Registers(size: UInt16(maximumSize))
    }

    var isRunning: Bool { ring != nil }

    // MARK: Chains

    func beginTurn() {
        isDue = false
        budget = Self.chainsPerTurn
        copiedBefore = copied
    }

    private var copied: UInt64 { memory.traffic.bytesRead &+ memory.traffic.bytesWritten }

    func next() throws(VirtioFailure) -> Chain? {
        guard let ring else { return nil }
        guard budget > 0, copied &- copiedBefore < Self.bytesPerTurn else {
            port.resumeLater(self)
            return nil
        }
        if let first = restored.first {
            restored.removeFirst()
            return try begin(first)
        }
        while true {
            let chain = try ring.take()
            // A hypervisor that moves the bytes itself may have reset the queue meanwhile.
            guard ring === self.ring else { return nil }
            if let chain {
                // While chains come there is no need to be told of them.
                if isNotified { try setNotified(false, by: ring) }
                return try begin(chain)
            }
            guard !isNotified else { return nil }
            try setNotified(true, by: ring)
        }
    }

    private func setNotified(_ on: Bool, by ring: any Ring) throws(VirtioFailure) {
        isNotified = on
        try ring.setNotifications(on)
    }

    private func begin(_ taken: RingChain) throws(VirtioFailure) -> Chain {
        guard idsInFlight.insert(taken.id).inserted else { throw .alreadyInFlight(taken.id) }
        descriptorsInFlight += taken.descriptors.count
        guard descriptorsInFlight <= Int(registers.size) else { throw .tooManyInFlight(maximum: Int(registers.size)) }
        let list = try segments(of: taken.descriptors)
        let chain = Chain(
            id: taken.id, descriptors: taken.descriptors, segments: list.segments,
            readableSegments: list.readableCount, owner: self)
        budget -= 1
        inFlight.append(chain)
        return chain
    }

    func give(_ chain: Chain) throws(VirtioFailure) {
        guard let ring, chain.generation == generation, let place = inFlight.firstIndex(where: { $0 === chain }) else {
            return
        }
        chain.close()
        inFlight.remove(at: place)
        idsInFlight.remove(chain.id)
        descriptorsInFlight -= chain.descriptors.count
        hasNews = true
        try ring.give(
            id: chain.id, count: chain.descriptors.count, written: UInt32(clamping: chain.written))
    }

    /// Whether the driver is to be told of what was given since last asked.
    func takeNews() throws(VirtioFailure) -> Bool {
        hasNews = false
        return try ring?.wantsInterrupt() ?? false
    }

    // MARK: A chain's bytes

    /// - Returns: false when the memory can't be reached, or the chain is not in flight any more.
    func read(at address: UInt64, into target: inout MutableRawSpan, for chain: Chain) -> Bool {
        guard chain.generation == generation else { return false }
        do throws(DMAError) {
            try memory.read(at: address, into: &target)
            return true
        } catch {
            port.fail(.memory(error))
            return false
        }
    }

    func write(at address: UInt64, from bytes: RawSpan, for chain: Chain) -> Bool {
        guard chain.generation == generation else { return false }
        do throws(DMAError) {
            try memory.write(at: address, from: bytes)
            return true
        } catch {
            port.fail(.memory(error))
            return false
        }
    }
}

/// `VIRTIO_MSI_NO_VECTOR`
let noVector: UInt16 = 0xffff

// MARK: State

extension Virtqueue {
    struct State: Codable, Sendable {
        var registers: Registers
        /// What follows matters only while there is a ring.
        var position: RingPosition?
        var isNotified: Bool
        /// In the order in which they were taken.
        var inFlight: [RingChain]
    }

    var state: State {
        State(
            registers: registers, position: ring?.position, isNotified: isNotified,
            inFlight: inFlight.map { RingChain(id: $0.id, descriptors: $0.descriptors) } + restored)
    }

    /// Whether a queue with these features can be in a state.
    func admits(_ state: State, features: VirtioFeatures) -> Bool {
        guard let position = state.position else { return state.inFlight.isEmpty }
        let layout = layout(state.registers, features)
        guard state.registers.isEnabled, (try? layout.check(maximum: maximumSize)) != nil else { return false }
        let counts = state.inFlight.map(\.descriptors.count)
        let total = counts.reduce(0, +)
        return !counts.contains(0) && total <= layout.size
            && Set(state.inFlight.map(\.id)).count == counts.count
            && layout.admits(position, chains: counts.count, descriptors: total)
    }

    /// - Precondition: ``admits(_:features:)``, and the port has the state's features.
    func restore(_ state: State) {
        stop()
        registers = state.registers
        guard let position = state.position else { return }
        ring = layout(registers, port.features).ring(in: memory, at: position)
        isNotified = state.isNotified
        restored = state.inFlight[...]
    }
}
