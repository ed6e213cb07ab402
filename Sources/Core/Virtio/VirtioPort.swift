import Device
import GuestMemory
import Linux

/// What a virtio device may use: its queues and the host. Behind it are the handshake with the driver and the
/// interrupts. VIRTIO 1.2, sections 2.1, 2.2 and 3.1.
///
/// A ring or buffer that isn't in guest memory is the driver's fault, and the device needs a reset then; but not while
/// the client is away, or has not mapped everything yet, or while the function is no bus master. What is due meanwhile
/// waits: queues are gone on with, and answers given, whenever there is more memory in reach. ``isAwaited(_:)``
public final class VirtioPort {
    /// The guest's memory, and the loop of the device's thread.
    public let host: Host

    /// What was agreed on, bits of the device itself included; empty before.
    public var features: VirtioFeatures {
        status.contains(.featuresOK) ? VirtioFeatures(driverFeatures) : []
    }

    /// Why the device needs a reset; nil while it doesn't, and after a restored state.
    public private(set) var failure: VirtioFailure?

    weak var device: (any VirtioDevice)?
    private(set) var queues: [Virtqueue] = []
    private(set) var status: DeviceStatus = []
    /// What the device offers, by words of 32 bits: the registers have room for four.
    private(set) var deviceFeatures: [UInt32] = []
    private(set) var driverFeatures = noFeatures
    private(set) var interruptStatus: InterruptStatus = []
    /// Another value whenever the device configuration structure has changed.
    private(set) var configurationGeneration: UInt8 = 0
    /// The message that tells of such changes.
    var configurationVector = noVector

    /// The address space's count when the driver last did something; nil before it does in a restored device.
    private var withdrawalsSeen: UInt64? = 0
    private var isRunning = true
    private var isInTurn = false
    /// Makes the loop call queues that are due.
    private let resumption: EventFD
    private var resumptionToken: EventLoop.Token?

    static let noFeatures: [UInt32] = [0, 0, 0, 0]

    /// Interrupt status. VIRTIO 1.2, section 4.1.4.5.
    struct InterruptStatus: OptionSet, Codable, Sendable {
        let rawValue: UInt8

        static let queue = InterruptStatus(rawValue: 1)
        static let configuration = InterruptStatus(rawValue: 2)
    }

    init(host: Host) throws(Errno) {
        self.host = host
        resumption = try EventFD()
        resumptionToken = try host.loop.watch("queues due", resumption.descriptor, for: .readable) { [unowned self] _ in
            resumption.consume()
            resume()
        }
        // Weakly: who comes after it over the same host is told instead, before this one is gone.
        host.memory.onArrival = { [weak self] in self?.memoryArrived(isFirst: $0) }
    }

    deinit {
        if let resumptionToken { host.loop.unwatch(resumptionToken) }
    }

    /// Takes up the device whose port it is.
    func connect(_ device: any VirtioDevice, features: VirtioFeatures) {
        self.device = device
        let offered = features.rawValue | device.features
        deviceFeatures = [UInt32(truncatingIfNeeded: offered), UInt32(truncatingIfNeeded: offered >> 32), 0, 0]
        queues = device.queueSizes.enumerated().map { Virtqueue($0, maximumSize: $1, port: self) }
    }

    // MARK: For devices

    /// The next chain of a queue; nil when there is none now, or enough were taken for this turn: then
    /// ``VirtioDevice/process(_:)`` is called once more when all else has had its turn.
    ///
    /// - Parameter queue: its index. There is nothing in queues that don't exist.
    public func pop(_ queue: Int) -> Chain? {
        guard isLive, isRunning, queues.indices.contains(queue) else { return nil }
        do throws(VirtioFailure) {
            return try queues[queue].pop()
        } catch {
            handle(error, at: queues[queue])
            return nil
        }
    }

    /// Gives a chain back to the driver, with what was written to it: at any time, in any order. Nothing happens when
    /// it is not in flight any more, for instance after a reset.
    public func addUsed(_ chain: Chain) {
        guard isLive, queues.indices.contains(chain.queue) else { return }
        let queue = queues[chain.queue]
        do throws(VirtioFailure) {
            try queue.addUsed(chain)
            // What is given in one turn is told with one interrupt.
            if !isInTurn, queue.hasNews { try tell(queue) }
        } catch {
            handle(error, at: queue)
        }
    }

    /// Has a chain come once more when there is memory that isn't there now, for a device that couldn't reach what a
    /// request leads to.
    ///
    /// - Returns: false when that is the driver's fault: the device answers as it does then.
    public func retry(_ chain: Chain, after error: DMAError) -> Bool {
        guard isLive, queues.indices.contains(chain.queue), isAwaited(error) else { return false }
        queues[chain.queue].putBack(chain)
        return true
    }

    /// Whether memory that a request leads to may still come, so that ``retry(_:after:)`` has a chance.
    public func isAwaited(_ error: DMAError) -> Bool { isAwaited(.memory(error)) }

    /// Tells the driver that ``VirtioDevice/configuration`` has changed.
    public func configurationChanged() {
        configurationGeneration &+= 1
        if status.contains(.driverOK) { interrupt(.configuration, vector: configurationVector) }
    }

    /// Stops every queue until the driver resets the device. `DEVICE_NEEDS_RESET`, section 2.1.2
    public func fail(_ failure: VirtioFailure = .device) {
        guard !status.contains(.needsReset) else { return }
        self.failure = failure
        host.report("The device stands still until the guest's driver resets it. \(failure)")
        status.insert(.needsReset)
        for queue in queues { queue.stop() }
        if status.contains(.driverOK) { interrupt(.configuration, vector: configurationVector) }
    }

    /// Whether chains may be moved.
    private var isLive: Bool { status.isSuperset(of: [.driverOK, .featuresOK]) && !status.contains(.needsReset) }

    // MARK: Memory

    /// Whether a failure is none of the driver's: the memory was taken away, or was never there, since the driver last
    /// did something, so the client is away or about to map it; or the function is no bus master.
    func isAwaited(_ failure: VirtioFailure) -> Bool {
        guard case .memory(let error) = failure else { return false }
        switch error {
        case .notBusMaster: return true
        case .notMapped: return withdrawalsSeen != host.memory.withdrawals
        // The client, who moves the bytes, has left, which its session is about to notice.
        case .remote(_, let errno): return [.connectionReset, .brokenPipe, .socketNotConnected].contains(errno)
        case .denied, .fault, .invalidRange: return false
        }
    }

    private func handle(_ failure: VirtioFailure, at queue: Virtqueue) {
        if isAwaited(failure) { queue.awaitMemory() } else { fail(failure) }
    }

    /// The driver does something, so its guest runs, with all its memory. What is missing now is its fault.
    func driverActs() {
        guard withdrawalsSeen != host.memory.withdrawals else { return }
        withdrawalsSeen = host.memory.withdrawals
        if queues.contains(where: \.isDue) { resumption.signal() }
    }

    private func memoryArrived(isFirst: Bool) {
        // A client that has left may have taken notifications with it.
        if isFirst { for queue in queues where queue.isRunning { queue.isDue = true } }
        if isLive { resumption.signal() }
    }

    // MARK: Turns

    /// The driver says that it has added chains.
    func notify(_ queue: Int) {
        guard queues.indices.contains(queue), queues[queue].isRunning else { return }
        // Too early, but a driver that has said so once may not say it again.
        guard isRunning, isLive else {
            queues[queue].isDue = true
            return
        }
        process(queues[queue])
        if queues.contains(where: \.isDue) { resumption.signal() }
    }

    private func process(_ queue: Virtqueue) {
        queue.beginTurn()
        isInTurn = true
        do throws(VirtioFailure) { try queue.addAnswered() } catch { handle(error, at: queue) }
        device?.process(queue.index)
        isInTurn = false
        for queue in queues where queue.hasNews {
            do throws(VirtioFailure) { try tell(queue) } catch { handle(error, at: queue) }
        }
    }

    /// Has the device called for a queue again, after all else.
    func resumeLater(_ queue: Virtqueue) {
        queue.isDue = true
        resumption.signal()
    }

    private func resume() {
        // Queues whose memory isn't there stay due until there is more of it.
        guard isRunning, isLive, host.memory.isReachable else { return }
        for queue in queues where queue.isDue && queue.isRunning { process(queue) }
    }

    private func resumeAll() {
        for queue in queues where queue.isRunning { resumeLater(queue) }
    }

    func setRunning(_ running: Bool) {
        isRunning = running
        device?.setRunning(running)
        if running { resumeAll() }
    }

    // MARK: Interrupts

    private func tell(_ queue: Virtqueue) throws(VirtioFailure) {
        if try queue.needsNotification() { interrupt(.queue, vector: queue.registers.vector) }
    }

    /// By a message when the guest has switched these on, else by the pin. With the pin the interrupt status says why;
    /// that the configuration has changed it always says. Section 4.1.4.5.1
    private func interrupt(_ cause: InterruptStatus, vector: UInt16) {
        let usesMessages = host.interrupts.usesMessages
        if !usesMessages || cause == .configuration { interruptStatus.insert(cause) }
        if !usesMessages {
            host.interrupts.setINTx(true)
        } else if vector != noVector {
            host.interrupts.raise(Int(vector))
        }
    }

    /// Reading the interrupt status deasserts the pin.
    func takeInterruptStatus() -> InterruptStatus {
        defer {
            interruptStatus = []
            host.interrupts.setINTx(false)
        }
        return interruptStatus
    }

    // MARK: Handshake

    /// The driver writes the device status. Nothing but a reset takes bits back.
    func writeStatus(_ value: DeviceStatus) {
        guard !value.isEmpty else { return reset() }
        var new = status.union(value.intersection(.drivers))
        if !new.contains(.featuresOK) || !(status.contains(.featuresOK) || areAcceptable(driverFeatures)) {
            // What is not agreed on the driver finds by reading the bit back. Section 3.1.1, steps 5 and 6.
            new.subtract([.featuresOK, .driverOK])
        }
        let isReady = new.contains(.driverOK) && !status.contains(.driverOK)
        status = new
        if isReady, queues.contains(where: \.isDue) { resumption.signal() }
    }

    private func areAcceptable(_ features: [UInt32]) -> Bool {
        VirtioFeatures(features).contains(.version1) && zip(features, deviceFeatures).allSatisfy { $0 & ~$1 == 0 }
    }

    /// The driver says which features it takes, 32 of them. Only before it has said that these are all.
    func writeDriverFeatures(_ word: Int, _ value: UInt32) {
        guard !status.contains(.featuresOK), driverFeatures.indices.contains(word) else { return }
        driverFeatures[word] = value
    }

    /// The driver has set up a queue. Before the features are agreed on nobody knows what a ring looks like.
    func enable(_ queue: Virtqueue) {
        guard status.contains(.featuresOK), !status.contains(.needsReset), !queue.registers.isEnabled else { return }
        do throws(VirtioFailure) { try queue.enable() } catch { fail(error) }
    }

    /// `VIRTIO_F_RING_RESET`
    func resetQueue(_ queue: Virtqueue) {
        guard features.contains(.ringReset), queue.registers.isEnabled else { return }
        queue.reset()
        device?.resetQueue(queue.index)
    }

    /// Back to the power-on state.
    func reset() {
        for queue in queues { queue.reset() }
        status = []
        failure = nil
        driverFeatures = Self.noFeatures
        configurationVector = noVector
        interruptStatus = []
        host.interrupts.setINTx(false)
        device?.reset()
    }
}

extension VirtioFeatures {
    /// From the registers' words.
    init(_ words: [UInt32]) {
        self.init(rawValue: UInt64(words[0]) | UInt64(words[1]) << 32)
    }
}

// MARK: State

extension VirtioPort {
    struct State: Codable, Sendable {
        var status: UInt8
        var driverFeatures: [UInt32]
        var interruptStatus: InterruptStatus
        var configurationGeneration: UInt8
        var configurationVector: UInt16
        var queues: [Virtqueue.State]
    }

    var state: State {
        State(
            status: status.rawValue, driverFeatures: driverFeatures, interruptStatus: interruptStatus,
            configurationGeneration: configurationGeneration, configurationVector: configurationVector,
            queues: queues.map(\.state))
    }

    /// - Throws: `StateError` when a port of this device can't be in a state.
    func check(_ state: State, vectors: Int) throws(StateError) {
        let status = DeviceStatus(rawValue: state.status)
        guard status.isSubset(of: DeviceStatus.drivers.union(.needsReset)) else {
            throw StateError("The device status is \(state.status), which has bits that there are not.")
        }
        guard state.driverFeatures.count == Self.noFeatures.count else {
            throw StateError(
                "There are \(state.driverFeatures.count) words of features and not \(Self.noFeatures.count).")
        }
        guard !status.contains(.featuresOK) || areAcceptable(state.driverFeatures) else {
            throw StateError("The driver has taken features that this device doesn't offer.")
        }
        guard state.queues.count == queues.count else {
            throw StateError("The state has \(state.queues.count) queues and the device \(queues.count).")
        }
        let all = [state.configurationVector] + state.queues.map(\.registers.vector)
        for vector in all where vector != noVector && Int(vector) >= vectors {
            throw StateError("An interrupt has vector \(vector) of \(vectors).")
        }
        let features = status.contains(.featuresOK) ? VirtioFeatures(state.driverFeatures) : []
        for (queue, saved) in zip(queues, state.queues) where !queue.admits(saved, features: features) {
            throw StateError("Queue \(queue.index) can't be as the state says.")
        }
    }

    /// - Precondition: ``check(_:vectors:)``
    func restore(_ state: State) {
        status = DeviceStatus(rawValue: state.status)
        failure = nil
        driverFeatures = state.driverFeatures
        interruptStatus = state.interruptStatus
        configurationGeneration = state.configurationGeneration
        configurationVector = state.configurationVector
        for (queue, saved) in zip(queues, state.queues) { queue.restore(saved) }
        withdrawalsSeen = nil
        resumeAll()
    }
}
