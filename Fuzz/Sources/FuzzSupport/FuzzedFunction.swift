import Device
import FakeDriver
import FakeGuest
import GuestMemory
import Linux
import PCI

/// A device that is made once, with memory of a guest's and a listener to its interrupts, and put back into its
/// power-on state before each input.
public final class FuzzedFunction {
    public let function: Function
    public let ram: GuestRAM
    public let interrupts: ObservedInterrupts
    private let quota: Quota?
    private var powerOnState: [UInt8] = []
    /// The same as a whole.
    private var stateAsMade: [UInt8] = []
    /// Whether this input may save and restore, which takes long, and has not.
    public private(set) var maySave = false
    private var mayLook = false
    /// One for each picture, from the input's beginning on.
    private var watches: [DamageWatch] = []

    public var host: Host { function.host }

    /// - Parameters:
    ///   - ramSize: in bytes; it is at address 0, so that small numbers are addresses.
    ///   - make: makes the device.
    public init(ramSize: Int = 1 << 14, make: (Host) throws -> any Device) throws {
        let host = Host(loop: try EventLoop(closesAtOnce: true))
        ram = try GuestRAM(at: 0, size: ramSize)
        function = try Function(make(host), host: host)
        try host.memory.map(
            address: 0, size: UInt64(ramSize), access: [.read, .write],
            backing: .file(ram.file.descriptor.duplicate(), offset: 0))
        interrupts = ObservedInterrupts(function)
        quota = function.limits?.quota
        function.transport = interrupts
        try powerUp()
        powerOnState = comparableState()
        stateAsMade = state()
    }

    /// Everything as it was made, and the function enabled as by its firmware.
    ///
    /// - Parameter input: says whether the state is compared, and what may be done that takes long.
    public func begin(_ input: Input) throws {
        try powerUp()
        if input.may(.comparison, oneIn: 16) { requirePowerOn() }
        maySave = input.may(.save, oneIn: 8)
        mayLook = input.may(.look, oneIn: 4)
        // Decoding of I/O and memory, and the right to be bus master.
        try function.store(7, region: RegionIndex.configuration, offset: 4, width: .word)
    }

    private func powerUp() throws {
        interrupts.isOpen = true
        function.reset()
        // What is the administrator's, a reset leaves.
        if let quota { try function.apply(quota) }
        function.updateMappedParts()
        ram.file.clear(at: 0, count: ram.file.size)
        for file in memory where try file.memoryTaken() > 0 { try file.clear() }
        watches = (function.display?.heads ?? []).map { $0.watchDamage() }
        // What was about to happen.
        try host.loop.dispatch(within: .zero)
    }

    /// The memory that belongs to the device's state.
    private var memory: [MappedBytes] {
        (0..<6).compactMap { function.region($0) }.filter(\.isWritable).compactMap(\.memory) + function.ownMemory
    }

    // MARK: State

    public func state() -> [UInt8] {
        do {
            let reader = try StateReader(function)
            var state = [UInt8](repeating: 0, count: reader.size)
            var span = state.mutableSpan
            var bytes = span.mutableBytes
            guard reader.read(into: &bytes) == reader.size else { fuzzFailed("A state is shorter than its size.") }
            return state
        } catch {
            fuzzFailed("A device has no state: \(error)")
        }
    }

    /// Without the number of virtio's that tells whether the configuration has changed: a reset must not make it one
    /// that the driver has seen before.
    private func comparableState() -> [UInt8] {
        // What comes before the text is its length.
        let state = state().dropFirst(16)
        let name = Array("\"configurationGeneration\":".utf8)
        let start = state.indices.first { state[$0] == name[0] && state[$0...].starts(with: name) }
        guard let start else { return Array(state) }
        let end = state[start...].firstIndex(of: UInt8(ascii: ",")) ?? state.endIndex
        return Array(state[..<start] + state[end...])
    }

    /// A reset leaves nothing of what was.
    public func requireReset() throws {
        try powerUp()
        requirePowerOn()
    }

    private func requirePowerOn() {
        let state = comparableState()
        guard state != powerOnState else { return }
        // From a little before the first difference on.
        let place = max(0, (zip(state, powerOnState).enumerated().first { $1.0 != $1.1 }?.offset ?? 0) - 64)
        let (now, before) = (
            String(decoding: state.dropFirst(place).prefix(256), as: UTF8.self),
            String(decoding: powerOnState.dropFirst(place).prefix(256), as: UTF8.self)
        )
        fuzzFailed("After a reset the state has …\(now)…, but at power-on it had …\(before)….")
    }

    /// A state that a device has must always be one that it takes.
    ///
    /// - Returns: false where this input has done so already, or takes long enough.
    @discardableResult
    public func saveAndRestore() -> Bool {
        guard maySave else { return false }
        maySave = false
        do {
            // Of video memory the beginning is enough.
            for file in memory where file.size > 1 << 16 { try file.clear(from: 1 << 16) }
        } catch {
            fuzzFailed("A device's memory can't be cleared: \(error)")
        }
        restore(state())
        return true
    }

    /// Undoes a state that was taken: it may have had other monitors, which are not a reset's to change.
    public func restoreAsMade() { restore(stateAsMade) }

    private func restore(_ state: [UInt8]) {
        do {
            let writer = StateWriter(function)
            try writer.write(state.span.bytes)
            try writer.finish()
        } catch {
            fuzzFailed("A device refused its own state: \(error)")
        }
    }

    /// Looks at each picture for what has changed.
    ///
    /// - Returns: false where this input has done so already, or takes long enough.
    public func look() -> Bool {
        guard mayLook else { return false }
        mayLook = false
        for watch in watches { _ = watch.take() }
        return true
    }
}

/// Where a device's interrupts go, by the kind that the guest has enabled.
public final class ObservedInterrupts: Transport {
    private unowned let function: Function
    /// Whether messages have a way to the guest.
    public var isOpen = true {
        didSet { if isOpen, !oldValue { function.host.interrupts.deliverPending() } }
    }
    public private(set) var sent = 0
    public private(set) var heldBack = 0
    public private(set) var assertions = 0

    init(_ function: Function) {
        self.function = function
    }

    public var messageRouting: MessageRouting {
        if function.configuration.msix?.enabled == true { return .byVector(.msix) }
        return .byVector(function.configuration.msi?.enabled == true ? .msi : nil)
    }

    public func send(_ kind: InterruptKind, vector: Int, _ message: MSIMessage?) -> Bool {
        guard isOpen else {
            heldBack += 1
            return false
        }
        sent += 1
        return true
    }

    public func setINTx(_ asserted: Bool) {
        if asserted { assertions += 1 }
    }
}
