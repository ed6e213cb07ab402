import Device
import JSON
import PCI

/// A virtio device as a PCI function: the registers by which a driver finds the queues and the device's configuration.
/// Modern only, as VIRTIO 1.2 has it; section 4.1.
///
/// All structures lie in BAR 4, each in a page of its own, and the MSI-X table in BAR 1. Nothing is mapped, so that a
/// client may post its writes, and there is no memory BAR 2, by which firmware knows a VGA-compatible device. A device
/// with shared memory has that in BAR 0, and the table in BAR 3.
public final class VirtioFunction<Driver: VirtioDevice>: Device {
    /// The driver's type, with the transport's options added.
    public static var type: DeviceType {
        DeviceType(
            name: Driver.type.name, summary: Driver.type.summary, options: Driver.type.options + VirtioPCI.options,
            registers: VirtioPCI.registerNames + Driver.type.registers.map(VirtioPCI.inDeviceConfiguration),
            mappedMemory: Driver.type.mappedMemory)
    }

    public let identity: PCIIdentity
    public let bars: [BAR]
    public let capabilities: [Capability]
    public let interruptPin: InterruptPin? = .a

    /// The device behind the transport.
    public let driver: Driver
    private let port: VirtioPort
    private let vectors: Int
    private var selection = Selection()

    /// Which of several registers behind one address the driver has chosen.
    struct Selection: Codable, Equatable, Sendable {
        var deviceFeatures: UInt32 = 0
        var driverFeatures: UInt32 = 0
        var queue: UInt16 = 0
    }

    public convenience init(options: DeviceOptions, host: Host) throws {
        try self.init(options: options, host: host) { try Driver(options: options, port: $0) }
    }

    /// - Parameter make: makes the device behind the transport.
    public init(options: DeviceOptions, host: Host, _ make: (VirtioPort) throws -> Driver) throws {
        port = try VirtioPort(host: host)
        driver = try make(port)
        port.connect(driver, features: VirtioPCI.features(options))
        vectors = VirtioPCI.vectors(queues: driver.queueSizes.count)
        identity = VirtioPCI.identity(Driver.id)
        bars = VirtioPCI.bars(queues: driver.queueSizes.count, driver.sharedMemory)
        capabilities = VirtioPCI.capabilities(
            vectors: vectors, configuration: driver.configuration.count, driver.sharedMemory)
    }

    deinit {
        // A chain in flight keeps its queue, and the queue the chain.
        for queue in port.queues { queue.stop() }
    }

    public var parts: [AnyObject] { [driver] }

    /// Why the device needs a reset; nil while it doesn't.
    public var failure: VirtioFailure? { port.failure }

    // MARK: Accesses

    public func read(_ bar: Int, at offset: UInt64, width: AccessWidth) -> UInt64 {
        guard bar == VirtioPCI.bar, let (structure, place) = VirtioPCI.structure(at: offset) else { return 0 }
        switch structure {
        case .common: return VirtioPCI.registers.read(at: place, width: width) { value(of: $0) }
        case .interruptStatus: return place == 0 ? UInt64(port.takeInterruptStatus().rawValue) : 0
        case .device: return number(in: driver.configuration, at: Int(place), width)
        case .notify: return 0
        }
    }

    public func write(_ bar: Int, at offset: UInt64, width: AccessWidth, value: UInt64) {
        guard bar == VirtioPCI.bar, let (structure, place) = VirtioPCI.structure(at: offset) else { return }
        port.driverActs()
        switch structure {
        case .common: VirtioPCI.registers.write(at: place, width: width, value: value) { store($1, to: $0) }
        case .interruptStatus: break
        case .device:
            let bytes = (0..<width.rawValue).map { UInt8(truncatingIfNeeded: value >> UInt64(8 * $0)) }
            guard Int(place) + bytes.count <= driver.configuration.count else { return }
            driver.writeConfiguration(bytes.span.bytes, at: Int(place))
        // Of another width than the doorbell's, but meant as one.
        case .notify: port.notify(VirtioPCI.queue(notifiedAt: place))
        }
    }

    public func ring(_ doorbell: Doorbell, bar: Int, value: UInt64) {
        guard let (_, place) = VirtioPCI.structure(at: doorbell.offset) else { return }
        port.driverActs()
        port.notify(VirtioPCI.queue(notifiedAt: place))
    }

    private func number(in bytes: [UInt8], at offset: Int, _ width: AccessWidth) -> UInt64 {
        var number: UInt64 = 0
        for index in (0..<width.rawValue).reversed() {
            let byte = offset + index < bytes.count ? bytes[offset + index] : 0
            number = number << 8 | UInt64(byte)
        }
        return number
    }

    // MARK: Common configuration

    private var selectedQueue: Virtqueue? {
        Int(selection.queue) < port.queues.count ? port.queues[Int(selection.queue)] : nil
    }

    private func value(of register: VirtioPCI.Register) -> UInt64 {
        let queue = selectedQueue?.registers
        switch register {
        case .deviceFeatureSelect: return UInt64(selection.deviceFeatures)
        case .deviceFeature: return word(of: port.deviceFeatures, selection.deviceFeatures)
        case .driverFeatureSelect: return UInt64(selection.driverFeatures)
        case .driverFeature: return word(of: port.driverFeatures, selection.driverFeatures)
        case .configMSIXVector: return UInt64(port.configurationVector)
        case .numQueues: return UInt64(port.queues.count)
        case .deviceStatus: return UInt64(port.status.rawValue)
        case .configGeneration: return UInt64(port.configurationGeneration)
        case .queueSelect: return UInt64(selection.queue)
        case .queueSize: return UInt64(queue?.size ?? 0)
        case .queueMSIXVector: return UInt64(queue?.vector ?? noVector)
        case .queueEnable: return queue?.isEnabled == true ? 1 : 0
        case .queueNotifyOffset: return queue == nil ? 0 : UInt64(selection.queue)
        case .queueDescriptors: return queue?.descriptorArea ?? 0
        case .queueDriver: return queue?.driverArea ?? 0
        case .queueDevice: return queue?.deviceArea ?? 0
        // A reset is done before anybody can look.
        case .queueReset: return 0
        }
    }

    private func word(of features: [UInt32], _ index: UInt32) -> UInt64 {
        Int(index) < features.count ? UInt64(features[Int(index)]) : 0
    }

    private func store(_ write: RegisterWrite, to register: VirtioPCI.Register) {
        switch register {
        case .deviceFeatureSelect: selection.deviceFeatures = write.merged(into: selection.deviceFeatures)
        case .driverFeatureSelect: selection.driverFeatures = write.merged(into: selection.driverFeatures)
        case .driverFeature:
            let before = UInt32(truncatingIfNeeded: word(of: port.driverFeatures, selection.driverFeatures))
            port.writeDriverFeatures(Int(selection.driverFeatures), write.merged(into: before))
        case .configMSIXVector:
            port.configurationVector = existing(write.merged(into: port.configurationVector))
        case .deviceStatus: writeStatus(DeviceStatus(rawValue: write.merged(into: port.status.rawValue)))
        case .queueSelect: selection.queue = write.merged(into: selection.queue)
        case .queueMSIXVector:
            guard let queue = selectedQueue else { return }
            queue.registers.vector = existing(write.merged(into: queue.registers.vector))
        case .queueSize: setUp { $0.size = write.merged(into: $0.size) }
        case .queueDescriptors: setUp { $0.descriptorArea = write.merged(into: $0.descriptorArea) }
        case .queueDriver: setUp { $0.driverArea = write.merged(into: $0.driverArea) }
        case .queueDevice: setUp { $0.deviceArea = write.merged(into: $0.deviceArea) }
        case .queueEnable:
            if write.value == 1, let queue = selectedQueue { port.enable(queue) }
        case .queueReset:
            if write.value == 1, let queue = selectedQueue { port.resetQueue(queue) }
        case .deviceFeature, .numQueues, .configGeneration, .queueNotifyOffset: break
        }
    }

    /// What describes a queue stands still while it is enabled.
    private func setUp(_ change: (inout Virtqueue.Registers) -> Void) {
        guard let queue = selectedQueue, !queue.registers.isEnabled else { return }
        change(&queue.registers)
    }

    /// A vector that there is not reads back as none. Section 4.1.5.1.2.
    private func existing(_ vector: UInt16) -> UInt16 {
        Int(vector) < vectors ? vector : noVector
    }

    private func writeStatus(_ status: DeviceStatus) {
        if status.isEmpty { selection = Selection() }
        port.writeStatus(status)
    }

    // MARK: Life

    public func requireSavable() throws(StateError) {
        try driver.requireSavable()
    }

    public func setRunning(_ running: Bool) {
        port.setRunning(running)
    }

    public func reset() {
        selection = Selection()
        port.reset()
    }

    /// The transport's state and that of the device behind it, each in a form of its own version.
    public struct State: Codable, Sendable {
        var selection: Selection
        var port: VirtioPort.State
        /// nil: 1, as in states of before there were versions.
        var deviceVersion: Int? = Driver.stateVersion
        var device: Driver.State
    }

    public static func migrateParts(of state: JSON) throws(StateError) -> JSON {
        // What isn't there, or is no number, is told of when the state is decoded.
        guard var members = state.object, let device = members["device"] else { return state }
        let told = members["deviceVersion"] ?? .null
        guard let version = told == .null ? 1 : told.int else { return state }
        members["device"] = try Driver.upToDate(device, from: version, of: "'\(Driver.type.name)' behind its queues")
        members["deviceVersion"] = JSON(Driver.stateVersion)
        return .object(members)
    }

    public var state: State {
        State(selection: selection, port: port.state, device: driver.state)
    }

    public func restore(_ state: State) throws(StateError) {
        try port.check(state.port, vectors: vectors)
        try driver.restore(state.device)
        selection = state.selection
        port.restore(state.port)
    }
}
