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
    /// What the driver has made available and not got back: the chains that the device has, those it is to take (once
    /// more), and those it is done with.
    private var inFlight: [Chain] = []
    private var untaken: ArraySlice<RingChain> = []
    private var answered: [AnsweredChain] = []
    /// The identifiers of all three.
    private var idsInFlight: Set<UInt16> = []
    private var descriptorsInFlight = 0
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
    /// Memory was missing in this turn: there are no more chains in it.
    private var isStalled = false

    /// How many chains a device may take before all else has its turn.
    static let chainsPerTurn = 64
    /// How many bytes it may have copied for them, after which it takes no more: as many as a picture of 3840x2160
    /// pixels has. What one chain asks for is done in one piece.
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
        untaken = []
        answered = []
        descriptorsInFlight = 0
        isNotified = true
        budget = 0
        hasNews = false
        isDue = false
        isStalled = false
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
        isStalled = false
        budget = Self.chainsPerTurn
        copiedBefore = copied
    }

    /// Goes on in a later turn, when there is memory that isn't there now.
    func awaitMemory() {
        isDue = true
        isStalled = true
    }

    private var copied: UInt64 { memory.traffic.bytesRead &+ memory.traffic.bytesWritten }

    func pop() throws(VirtioFailure) -> Chain? {
        guard let ring, !isStalled else { return nil }
        guard budget > 0, copied &- copiedBefore < Self.bytesPerTurn else {
            port.resumeLater(self)
            return nil
        }
        if let first = untaken.first {
            let chain = try take(first)
            if chain != nil { untaken.removeFirst() }
            return chain
        }
        while true {
            let taken = try ring.pop()
            // A hypervisor that moves the bytes itself may have reset the queue meanwhile, here and below.
            guard ring === self.ring else { return nil }
            guard let taken else {
                guard !isNotified else { return nil }
                try setNotified(true, by: ring)
                continue
            }
            try count(taken)
            do throws(VirtioFailure) {
                // While chains come there is no need to be told of them.
                if isNotified { try setNotified(false, by: ring) }
                return try take(taken)
            } catch {
                if ring === self.ring { untaken.append(taken) }
                throw error
            }
        }
    }

    private func setNotified(_ on: Bool, by ring: any Ring) throws(VirtioFailure) {
        try ring.setNotifications(on)
        if ring === self.ring { isNotified = on }
    }

    private func count(_ taken: RingChain) throws(VirtioFailure) {
        guard idsInFlight.insert(taken.id).inserted else { throw .alreadyInFlight(taken.id) }
        descriptorsInFlight += taken.descriptors.count
        guard descriptorsInFlight <= Int(registers.size) else { throw .tooManyInFlight(maximum: Int(registers.size)) }
    }

    /// - Returns: nil when the queue was reset meanwhile.
    private func take(_ taken: RingChain) throws(VirtioFailure) -> Chain? {
        guard let chain = try chain(taken) else { return nil }
        budget -= 1
        inFlight.append(chain)
        if let tap = port.host.tap { chain.showRequest(to: tap) }
        return chain
    }

    /// - Returns: nil when the queue was reset meanwhile.
    private func chain(_ taken: RingChain) throws(VirtioFailure) -> Chain? {
        let before = generation
        let list = try segments(of: taken.descriptors)
        guard generation == before else { return nil }
        return Chain(
            id: taken.id, descriptors: taken.descriptors, segments: list.segments,
            readableSegments: list.readableCount, owner: self)
    }

    /// Has the device take a chain once more, when there is memory that isn't there now.
    func putBack(_ chain: Chain) {
        guard remove(chain) else { return }
        untaken.insert(RingChain(id: chain.id, descriptors: chain.descriptors), at: untaken.startIndex)
        awaitMemory()
    }

    /// Gives a chain back, or keeps what was answered as long as there is no memory for it.
    func addUsed(_ chain: Chain) throws(VirtioFailure) {
        let (written, unwritten) = (chain.written, chain.unwritten)
        guard remove(chain) else { return }
        // Chains that are kept go first.
        if unwritten.isEmpty, answered.isEmpty {
            if let tap = port.host.tap { chain.showCompletion(to: tap) }
            do throws(VirtioFailure) {
                return try addUsed(id: chain.id, count: chain.descriptors.count, written: written)
            } catch {
                guard port.isAwaited(error) else { throw error }
            }
        }
        answered.append(
            AnsweredChain(
                chain: RingChain(id: chain.id, descriptors: chain.descriptors), written: written - unwritten.count,
                unwritten: unwritten))
        awaitMemory()
    }

    /// Gives back what was kept.
    func addAnswered() throws(VirtioFailure) {
        while let first = answered.first {
            guard let chain = try chain(first.chain) else { return }
            chain.skipWritten(first.written)
            chain.write(first.unwritten)
            guard chain.isInFlight else { return }
            guard chain.unwritten.isEmpty else { return awaitMemory() }
            if let tap = port.host.tap { chain.showCompletion(to: tap) }
            try addUsed(id: chain.id, count: chain.descriptors.count, written: chain.written)
            guard chain.isInFlight else { return }
            answered.removeFirst()
        }
    }

    private func addUsed(id: UInt16, count: Int, written: Int) throws(VirtioFailure) {
        guard let ring else { return }
        try ring.addUsed(id: id, count: count, written: UInt32(clamping: written))
        guard ring === self.ring else { return }
        idsInFlight.remove(id)
        descriptorsInFlight -= count
        hasNews = true
    }

    /// - Returns: whether the device had the chain.
    private func remove(_ chain: Chain) -> Bool {
        guard ring != nil, chain.isInFlight, let place = inFlight.firstIndex(where: { $0 === chain }) else {
            return false
        }
        chain.close()
        inFlight.remove(at: place)
        return true
    }

    /// Whether the driver is to be told of what was given since last asked.
    func needsNotification() throws(VirtioFailure) -> Bool {
        let isNeeded = try ring?.needsNotification() ?? false
        hasNews = false
        return isNeeded
    }

    // MARK: A chain's bytes

    /// - Returns: false when the memory can't be reached, or the chain is not in flight any more.
    func read(at address: UInt64, into target: inout MutableRawSpan, for chain: Chain) -> Bool {
        guard chain.isInFlight else { return false }
        do throws(DMAError) {
            try memory.read(at: address, into: &target)
            return true
        } catch {
            if port.isAwaited(.memory(error)) { putBack(chain) } else { port.fail(.memory(error)) }
            return false
        }
    }

    /// What came of a write.
    enum Writing {
        case done
        /// The memory is still to come.
        case awaited
        /// The memory can't be reached, or the chain is not in flight any more.
        case failed
    }

    func write(at address: UInt64, from bytes: RawSpan, for chain: Chain) -> Writing {
        guard chain.isInFlight else { return .failed }
        do throws(DMAError) {
            try memory.write(at: address, from: bytes)
            return .done
        } catch {
            if port.isAwaited(.memory(error)) { return .awaited }
            port.fail(.memory(error))
            return .failed
        }
    }
}

/// A chain that the device is done with, and that couldn't be given back yet: there was no memory.
struct AnsweredChain: Equatable, Sendable {
    var chain: RingChain
    /// How many bytes of the answer are in guest memory.
    var written: Int
    /// The rest of it.
    var unwritten: [UInt8]
}

/// The rest of the answer is a text of hexadecimal digits: of the numbers in a saved state there may be only so many,
/// and a guest could have half a million bytes wait.
extension AnsweredChain: Codable {
    private enum Key: String, CodingKey {
        case chain
        case written
        case unwritten
    }

    init(from decoder: any Decoder) throws {
        let members = try decoder.container(keyedBy: Key.self)
        chain = try members.decode(RingChain.self, forKey: .chain)
        written = try members.decode(Int.self, forKey: .written)
        let digits = Array(try members.decode(String.self, forKey: .unwritten).utf8)
        unwritten = []
        for index in stride(from: 0, to: digits.count, by: 2) {
            guard let byte = UInt8(String(decoding: digits[index...].prefix(2), as: UTF8.self), radix: 16) else {
                throw DecodingError.dataCorruptedError(
                    forKey: .unwritten, in: members, debugDescription: "these are no hexadecimal digits")
            }
            unwritten.append(byte)
        }
    }

    func encode(to encoder: any Encoder) throws {
        var members = encoder.container(keyedBy: Key.self)
        try members.encode(chain, forKey: .chain)
        try members.encode(written, forKey: .written)
        let digits = Array("0123456789abcdef".utf8)
        let text = unwritten.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }
        try members.encode(String(decoding: text, as: UTF8.self), forKey: .unwritten)
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
        /// nil: none, as in states of earlier versions.
        var answered: [AnsweredChain]?
    }

    var state: State {
        State(
            registers: registers, position: ring?.position, isNotified: isNotified,
            inFlight: inFlight.map { RingChain(id: $0.id, descriptors: $0.descriptors) } + untaken,
            answered: answered.isEmpty ? nil : answered)
    }

    /// Whether a queue with these features can be in a state.
    func admits(_ state: State, features: VirtioFeatures) -> Bool {
        let chains = state.inFlight + (state.answered ?? []).map(\.chain)
        guard let position = state.position else { return chains.isEmpty }
        let layout = layout(state.registers, features)
        guard state.registers.isEnabled, (try? layout.check(maximum: maximumSize)) != nil else { return false }
        let counts = chains.map(\.descriptors.count)
        let total = counts.reduce(0, +)
        return !counts.contains(0) && total <= layout.size
            && Set(chains.map(\.id)).count == counts.count
            && layout.admits(position, chains: counts.count, descriptors: total)
    }

    /// - Precondition: ``admits(_:features:)``, and the port has the state's features.
    func restore(_ state: State) {
        stop()
        registers = state.registers
        guard let position = state.position else { return }
        ring = layout(registers, port.features).ring(in: memory, at: position)
        isNotified = state.isNotified
        untaken = state.inFlight[...]
        answered = state.answered ?? []
        for chain in state.inFlight + answered.map(\.chain) {
            idsInFlight.insert(chain.id)
            descriptorsInFlight += chain.descriptors.count
        }
    }
}
