import Device
import GuestMemory
import Linux
import PCI

/// A device that does nothing but what every device may do: registers of each kind, INTx, MSI and MSI-X, DMA in every
/// direction, mapped memory behind a trapped page, shared registers, an I/O BAR, doorbells and an ioregion.
///
/// For bringing up hypervisors, for guests that test their own drivers, and for this project's tests. Each part
/// can be provoked from the guest, and counted.
public final class Exerciser: Device {
    public static let type = DeviceType(
        name: "exerciser", summary: "A test device: registers, interrupts, DMA, mapped memory and doorbells",
        registers: registers.names(bar: 0, fields: fields) + ports.names(bar: 1) + bufferRegisters.names(bar: 2),
        mappedMemory: { _ in memorySize })

    /// Emulators share vendor 0x1234, under which no hardware was ever sold; 0x11e8 is QEMU's `edu`, of the same
    /// purpose but with other registers. No driver of Linux binds to this one, by identity or class.
    public let identity = PCIIdentity(vendor: 0x1234, device: 0x11e9, class: .unclassified, revision: 1)
    public let bars: [BAR]
    public let capabilities: [Capability] = [
        .powerManagement,
        .msi(vectors: vectors, perVectorMasking: true),
        .pciExpress,
        .msix(vectors: vectors, tableBAR: 4, tableOffset: 0, pendingBAR: 4, pendingOffset: 0x800),
    ]
    public let interruptPin: InterruptPin? = .a

    /// Message-signalled interrupts, of either kind.
    static let vectors = 8
    static let doorbell = Doorbell(at: 0x80)
    /// In BAR 2; its value is the register ``Register/tail``.
    static let tailDoorbell = Doorbell(at: 0x10, keepsValue: true)

    // One thread, and no access to it lasts longer than a statement: checks at run time would find nothing.
    @exclusivity(unchecked) public internal(set) var state = State()

    let host: Host
    /// Behind BAR 2. Its mapped part is the buffer that DMA goes to and comes from.
    let memory: MappedBytes
    private let shared: MappedBytes

    public init(options: DeviceOptions, host: Host) throws {
        self.host = host
        let own = host.deviceMemory
        memory = try own.take("exerciser", size: Self.memorySize, isBehindBAR: true)
        let shadow = try own.take("exerciser-shadow", size: 4096)
        shared = try own.take("exerciser-shared", size: 4096, isOwnAlone: true, isBehindBAR: true)
        bars = [
            .memory(0, size: 4096, doorbells: [Self.doorbell], ioregions: [0..<0x84]),
            .io(1, size: 16),
            .memory(
                2, size: 128 << 10, prefetchable: true, is64Bit: true,
                memory: memory, mapped: [UInt64(Self.bufferOffset)..<UInt64(Self.memorySize)],
                doorbells: [Self.tailDoorbell], shadow: shadow),
            .memory(4, size: 4096),
            .shared(5, shared),
        ]
    }

    // MARK: Registers

    public func read(_ bar: Int, at offset: UInt64, width: AccessWidth) -> UInt64 {
        state.reads &+= 1
        return switch bar {
        case 0: Self.registers.read(at: offset, width: width) { value(of: $0) }
        case 1: Self.ports.read(at: offset, width: width) { value(of: $0) }
        case 2: Self.bufferRegisters.read(at: offset, width: width) { value(of: $0) }
        default: 0
        }
    }

    public func write(_ bar: Int, at offset: UInt64, width: AccessWidth, value: UInt64) {
        state.writes &+= 1
        switch bar {
        case 0: Self.registers.write(at: offset, width: width, value: value) { store($1, to: $0) }
        case 1: Self.ports.write(at: offset, width: width, value: value) { store($1, to: $0) }
        case 2: Self.bufferRegisters.write(at: offset, width: width, value: value) { store($1, to: $0) }
        default: break
        }
    }

    private func value(of register: Register) -> UInt64 {
        switch register {
        case .identification: Self.identification
        case .scratch: UInt64(state.scratch)
        case .wideScratch: state.wideScratch
        case .cause: UInt64(state.cause)
        case .source: state.source
        case .destination: state.destination
        case .length: UInt64(state.length)
        case .pattern: UInt64(state.pattern)
        case .status: UInt64(state.status.rawValue)
        case .faultAddress: state.faultAddress
        case .reads: state.reads
        case .writes: state.writes
        case .commands: state.commands
        case .rings: state.rings
        case .tail: state.tail
        case .bufferSize: UInt64(Self.bufferSize)
        case .checksum: UInt64(checksum())
        case .raise, .setCause, .command: 0
        }
    }

    private func store(_ write: RegisterWrite, to register: Register) {
        switch register {
        case .scratch: state.scratch = write.merged(into: state.scratch)
        case .wideScratch: state.wideScratch = write.merged(into: state.wideScratch)
        case .raise: raise(write.value)
        case .setCause: setCause(state.cause | UInt32(truncatingIfNeeded: write.value))
        case .cause: setCause(write.merged(into: state.cause))
        case .source: state.source = write.merged(into: state.source)
        case .destination: state.destination = write.merged(into: state.destination)
        case .length: state.length = write.merged(into: state.length)
        case .pattern: state.pattern = write.merged(into: state.pattern)
        case .command:
            run(Command(UInt32(truncatingIfNeeded: write.value)))
            share()
        case .identification, .status, .faultAddress, .reads, .writes, .commands, .rings, .tail, .bufferSize, .checksum:
            break
        }
    }

    public func ring(_ doorbell: Doorbell, bar: Int, value: UInt64) {
        state.rings &+= 1
        if doorbell.keepsValue { state.tail = value }
        share()
    }

    /// Brings BAR 5 up to date: the counters of commands and rings and the tail, eight bytes each.
    private func share() {
        shared.publish(state.commands, at: 0x00)
        shared.publish(state.rings, at: 0x08)
        shared.publish(state.tail, at: 0x10)
    }

    // MARK: Interrupts

    /// Sends a message, if there is such a vector.
    func raise(_ vector: UInt64) {
        guard vector < UInt64(Self.vectors) else { return }
        host.interrupts.raise(Int(vector))
    }

    /// The pin is asserted as long as there is a cause.
    func setCause(_ cause: UInt32) {
        state.cause = cause
        host.interrupts.setINTx(cause != 0)
    }

    // MARK: State

    public func reset() {
        state = State()
        share()
        host.interrupts.setINTx(false)
    }

    public func restore(_ state: State) throws(StateError) {
        self.state = state
        share()
        host.interrupts.setINTx(state.cause != 0)
    }
}
