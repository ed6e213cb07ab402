import Alteration
import GuestMemory
import Linux
import PCI
import Tap

/// The shell round a device: a complete PCI function, as a hypervisor sees it.
///
/// It owns what all functions share: configuration space, the expansion ROM, the MSI-X table, and the way
/// an access takes to the device's registers, its mapped memory or its doorbells. A ``transport`` brings accesses
/// by region and offset. One thread at a time.
public final class Function: Stateful {
    public let device: any Device
    public let host: Host
    // Unowned: a part goes with the device, before what it uses goes, such as a port.
    /// Who shows pictures; nil when nobody does, as for the two that follow.
    public unowned let display: (any DisplayDevice)?
    /// Who keeps to a quota.
    public unowned let limits: (any LimitedDevice)?
    /// Who has monitors that come and go.
    public unowned let monitors: (any MonitorDevice)?
    /// The memory of the device's own that belongs to its state.
    public let ownMemory: [MappedBytes]
    // One thread, and neither calls out while it is accessed: checks at run time would find nothing.
    /// What a guest reads and writes at region `RegionIndex.configuration`.
    @exclusivity(unchecked) public internal(set) var configuration: ConfigurationSpace
    /// The BARs, by index.
    @exclusivity(unchecked) var slots: [BARSlot?]
    /// Those of them that answer accesses: all in D0, none in D3hot.
    @exclusivity(unchecked) var awake: [BARSlot?]
    /// Rung by eventfd, they wait because whoever alters wants it so.
    let waitingDoorbells = Parkings()
    let romImage: [UInt8]
    /// Whether the device may change: what a guest sends acts, and the device acts by itself.
    @exclusivity(unchecked) public private(set) var isRunning = true
    /// Who brings the accesses, and takes what is for the guest; nobody unless one is set.
    public var transport: (any Transport)? {
        get { host.interrupts.transport }
        set { attach(newValue, knowing: Self.nowhere) }
    }
    /// Where the transport was told last that the BARs and the ROM are.
    private(set) var placements = nowhere
    private static let nowhere = [BARPlacement?](repeating: nil, count: RegionIndex.rom + 1)

    /// - Throws: `ConfigurationError` when what the device declares is impossible.
    public init(_ device: any Device, host: Host) throws(ConfigurationError) {
        let image = device.rom ?? []
        // As a BAR, the ROM's has a power of two; the least that its register can tell is 2 KiB.
        var romSize = image.isEmpty ? 0 : 2048
        while romSize < image.count { romSize *= 2 }
        let bars = device.bars
        configuration = try ConfigurationSpace(
            identity: device.identity, bars: bars.map(\.layout), capabilities: device.capabilities,
            interruptPin: device.interruptPin, romSize: UInt64(romSize))
        var slots = [BARSlot?](repeating: nil, count: 6)
        for bar in bars { slots[bar.layout.index] = BARSlot(bar, msix: configuration.msixLayout) }
        self.slots = slots
        awake = slots
        if let layout = configuration.msixLayout {
            host.interrupts.msixTable = try MSIXTable(vectors: layout.vectors)
        }
        romImage = image + Array(repeating: 0xff, count: romSize - image.count)
        self.device = device
        self.host = host
        display = device.part((any DisplayDevice).self)
        limits = device.part((any LimitedDevice).self)
        monitors = device.part((any MonitorDevice).self)
        ownMemory = device.part((any MemoryKeepingDevice).self)?.memory ?? []
        openGates()
    }

    // MARK: What there is

    /// Whether somebody sees or alters what passes: what a transport does for them alone, it does then.
    // Other modules ask here: of a stored property their exclusive access would be checked at run time.
    public var isWatched: Bool { host.isWatched }

    /// The device's type.
    public var type: DeviceType { Swift.type(of: device).type }

    /// One of a function's regions.
    public struct Region: Sendable {
        /// In bytes; 0 when the function has no such region.
        public var size: UInt64 = 0
        public var isWritable = false
        /// ``BAR/isTransient``
        public var isTransient = false
        /// What may be mapped, byte for byte from the region's beginning.
        public var memory: MappedBytes?
        public var mapped: [Range<UInt64>] = []
        public var doorbells: [Doorbell] = []
        public var shadow: MappedBytes?
        public var ioregions: [Range<UInt64>] = []
        public var isPorts = false
    }

    /// - Parameter index: less than `RegionIndex.count`; nil for any other.
    public func region(_ index: Int) -> Region? {
        switch index {
        case 0..<6:
            guard let bar = slots[index]?.bar else { return Region() }
            return Region(
                size: bar.layout.size, isWritable: !bar.isReadOnly, isTransient: bar.isTransient, memory: bar.memory,
                mapped: bar.mapped, doorbells: bar.doorbells, shadow: bar.shadow, ioregions: bar.ioregions,
                isPorts: bar.layout.space == .io
            )
        case RegionIndex.rom: return Region(size: UInt64(romImage.count))
        case RegionIndex.configuration: return Region(size: UInt64(configuration.size), isWritable: true)
        case 0..<RegionIndex.count: return Region()
        default: return nil
        }
    }

    /// Asks the device again which parts of its BARs may be mapped, and shows those from now on. Memory that can't be
    /// mapped any more is cleared and given back.
    ///
    /// Hypervisors call it while nobody has anything mapped: before they ask for regions, and when a client has left.
    public func updateMappedParts() {
        for bar in device.bars where slots[bar.layout.index]?.bar.mapped != bar.mapped {
            slots[bar.layout.index] = BARSlot(bar, msix: configuration.msixLayout)
        }
        clearBeyondMappedParts()
        openGates()
    }

    /// Gives back what is behind the end of what may be mapped: a client has the whole file, and may have written
    /// there.
    func clearBeyondMappedParts() {
        for bar in device.bars {
            guard let memory = bar.memory, let old = slots[bar.layout.index]?.bar.mapped.last?.upperBound,
                let end = Int(exactly: max(old, bar.mapped.last?.upperBound ?? 0)), end < memory.size
            else { continue }
            // It can't fail but for want of the kernel's own memory, and is out of reach all the same.
            try? memory.clear(from: end)
        }
    }

    /// How many interrupts of a kind there are.
    public func interruptCount(_ kind: InterruptKind) -> Int {
        switch kind {
        case .intx: device.interruptPin == nil ? 0 : 1
        case .msi: msiVectors
        case .msix: configuration.msixLayout?.vectors ?? 0
        case .error, .request: 1
        }
    }

    private var msiVectors: Int {
        for case .msi(let vectors, _) in device.capabilities { return vectors }
        return 0
    }

    // MARK: What its registers decide

    /// Has a transport bring the accesses that knows where BARs are already: it is told of those that are elsewhere.
    ///
    /// - Parameter placements: where it knows the BARs and the ROM to be, by region.
    public func attach(_ transport: (any Transport)?, knowing placements: [BARPlacement?]) {
        host.interrupts.transport = transport
        self.placements = placements
        placeRegions()
    }

    /// Tells the transport where the guest has the BARs and the ROM now.
    func placeRegions() {
        guard let transport else { return }
        let now = (0..<6).map(configuration.placement(ofBAR:)) + [configuration.placementOfROM]
        let moved = now.indices.filter { now[$0] != placements[$0] }
        // What has left may be where another is now.
        for region in moved where placements[region] != nil { transport.place(region, at: nil) }
        placements = now
        for region in moved { if let placement = now[region] { transport.place(region, at: placement) } }
    }

    /// Lets through what the registers allow now: accesses to BARs, memory accesses, messages, the pin.
    func openGates() {
        let (msi, msix) = (configuration.msi, configuration.msix)
        let isAwake = configuration.powerState == .d0
        awake = isAwake ? slots : Array(repeating: nil, count: slots.count)
        host.memory.isBusMaster = configuration.isBusMaster
        host.interrupts.gates = Interrupts.Gates(
            pinDisabled: !isAwake || configuration.command.contains(.intxDisable),
            messagesDisabled: !configuration.isBusMaster,
            msi: msi,
            msixFunctionMasked: msix?.functionMasked ?? false,
            messageKind: msix?.enabled == true ? .msix : msi?.enabled == true ? .msi : nil)
    }

    /// Has the function stand still, or go on. While it stands still its state can be taken: the guest can read, but
    /// what it writes is refused, and what it rings by eventfd waits there.
    public func setRunning(_ running: Bool) {
        guard running != isRunning else { return }
        host.tap?.note(.running(running))
        isRunning = running
        device.setRunning(running)
    }

    /// Resets the function and the device: VFIO's DEVICE_RESET, a function-level reset of the guest's, and the end of
    /// D3hot. The client's interrupt set-up and memory maps stay; doorbells and interrupts that wait are forgotten.
    public func reset() {
        host.tap?.note(.reset)
        waitingDoorbells.cancel()
        device.reset()
        configuration.reset()
        host.interrupts.reset()
        openGates()
        placeRegions()
    }

    // MARK: State

    /// What the shell itself keeps: goes into a saved state beside the device's, in a form of version ``stateVersion``.
    struct State: Codable {
        var configuration: ConfigurationSpace.State
        var msixTable: MSIXTable.State?
        var pin: Bool
        var pending: [UInt64]
    }

    var state: State {
        let pending = host.interrupts.pending
        return State(
            configuration: configuration.state, msixTable: host.interrupts.msixTable?.state,
            pin: host.interrupts.pinAsserted,
            pending: pending.indices.map { pending[$0] })
    }

    /// How often another state has taken the place of this function's.
    private(set) var restorations = 0

    /// - Throws: ``StateError``; the function is unchanged then.
    func restore(_ state: State) throws(StateError) {
        var configuration = configuration
        var table = host.interrupts.msixTable
        do throws(ConfigurationError) {
            try configuration.restore(state.configuration)
            if let saved = state.msixTable { try table?.restore(saved) }
        } catch {
            throw StateError(error.description)
        }
        guard (table == nil) == (state.msixTable == nil) else {
            throw StateError("The state has \(table == nil ? "an" : "no") MSI-X table, other than this device.")
        }
        try Interrupts.check(pending: state.pending)
        host.tap?.note(.restored)
        waitingDoorbells.cancel()
        self.configuration = configuration
        host.interrupts.msixTable = table
        restorations += 1
        // What is pending is so under the gates of the same state.
        openGates()
        host.interrupts.restore(pinAsserted: state.pin, pending: state.pending)
        placeRegions()
    }
}

extension Device {
    /// The first part that is of a type; nil when none is.
    fileprivate func part<Part>(_: Part.Type) -> Part? {
        for part in parts { if let part = part as? Part { return part } }
        return nil
    }
}
