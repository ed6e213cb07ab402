import Device
import Linux
import VFIOUserClient

/// A whole guest: memory, one processor or more, a PCI bus with devices, of vfio-user servers and of this process, a
/// console for its output, and a way to end.
///
/// | port | |
/// |---|---|
/// | 0xcf8 to 0xcff | PCI configuration |
/// | 0xe9, 0x3f8 | each byte written is output |
/// | 0xf4 | a byte written ends the machine, and is its status |
public final class Machine: Sendable {
    /// The guest's memory, from address 0 on. Devices reach it by DMA.
    public let memory: MemoryFile
    /// For eventfds and memory of one's own.
    public let virtualMachine: VirtualMachine
    private let memorySlot: VirtualMachine.MemorySlot
    private let processors: [VCPU]
    private let bus: Locked<Bus>
    private let ended: EventFD

    /// Where images are loaded and begin to run.
    public static let start: UInt16 = 0x1000
    /// Sizes of memory, in bytes: below the hole for devices under 4 GiB.
    public static let memorySizes = (64 << 10)...(3 << 30)
    public static let maximumProcessors = 16
    /// Of bus 0.
    public static let slots = 0..<PCIBus.slots
    /// The pins that the slots' INTx are wired to, in turn.
    private static let pins: [UInt32] = [11, 10, 9, 5]

    private struct Bus: ~Copyable {
        var pci = PCIBus()
        var output: (UInt8) -> Void
        var status: UInt8?
        var failure: VCPU.Failure?
    }

    /// - Parameters:
    ///   - memorySize: in bytes, of ``memorySizes``; whole pages.
    ///   - processors: 1 to ``maximumProcessors``.
    ///   - isLogged: keep a log for ``takeDirtyPages()``.
    ///   - output: gets each byte that the guest writes to its console.
    /// - Throws: ``KVMError``, or `Errno` when there is no memory.
    public init(
        memorySize: Int, processors: Int = 1, isLogged: Bool = false,
        output: sending @escaping (UInt8) -> Void = { _ in }
    ) throws {
        guard Self.memorySizes.contains(memorySize), (1...Self.maximumProcessors).contains(processors) else {
            throw KVMError("a machine with \(memorySize) bytes and \(processors) processors", .invalidArgument)
        }
        let machine = try VirtualMachine()
        memory = try MemoryFile(name: "guest", size: memorySize)
        memorySlot = try machine.map(memory.mapping, 0..<memory.size, at: 0, isLogged: isLogged)
        virtualMachine = machine
        self.processors = try (0..<processors).map { try VCPU(machine, number: $0) }
        ended = try EventFD()
        bus = Locked(Bus(output: output))
    }

    /// Which pages of ``memory`` the guest's processors have written since last asked: one bit each, the first page
    /// lowest.
    public func takeDirtyPages() throws(KVMError) -> [UInt64] {
        try memorySlot.takeDirtyPages()
    }

    // MARK: Devices

    /// Puts a server's device into a slot of bus 0, with the guest's memory mapped for its DMA.
    ///
    /// - Parameters:
    ///   - client: used by this machine alone from now on.
    ///   - slot: one of ``slots``.
    /// - Throws: `ClientError` when the server refuses, ``KVMError`` when KVM does or the slot is taken.
    public func attach(_ client: sending Client, slot: Int) throws {
        let (machine, memory) = (virtualMachine, memory)
        guard Self.slots.contains(slot) else { throw KVMError("slot \(slot), of 32 from 0 on", .invalidArgument) }
        // The client goes over into the bus; the box keeps it whole on the way through the closure.
        let box = Handover(client)
        try bus.withLock { bus in
            let client = box.client
            try client.map(address: 0, size: UInt64(memory.size), file: memory.descriptor)
            let device = try AttachedClient(client, machine, pin: Self.pins[slot & 3])
            guard bus.pci.insert(device, slot: slot) else {
                throw KVMError("a second device in slot \(slot)", .fileExists)
            }
        }
    }

    /// Puts a device of this process into a slot of bus 0, with a thread of its own and the guest's memory mapped for
    /// its DMA.
    ///
    /// - Parameters:
    ///   - slot: one of ``slots``.
    ///   - make: makes the function on the host that it is given.
    /// - Throws: what `make` throws, `MapError` when the guest's memory can't be mapped, `Errno` when no thread can be
    ///   had, ``KVMError`` when the slot is taken.
    public func attach(slot: Int, make: sending (Host) throws -> Function) throws {
        let memory = memory
        guard Self.slots.contains(slot) else { throw KVMError("slot \(slot), of 32 from 0 on", .invalidArgument) }
        let device = try AttachedFunction(virtualMachine, pin: Self.pins[slot & 3]) { host in
            let function = try make(host)
            try host.memory.map(
                address: 0, size: UInt64(memory.size), access: [.read, .write],
                backing: .file(try memory.descriptor.duplicate(), offset: 0))
            return function
        }
        try bus.withLock { bus in
            guard bus.pci.insert(device, slot: slot) else {
                throw KVMError("a second device in slot \(slot)", .fileExists)
            }
        }
    }

    /// Unchecked: made and taken by ``attach(_:slot:)`` alone, from a value that nobody else has any more.
    private struct Handover: @unchecked Sendable {
        let client: Client
        init(_ client: Client) { self.client = client }
    }

    // MARK: Running

    /// Puts a program at ``start``, and the first processor there.
    ///
    /// - Throws: ``KVMError`` with EFBIG when there is no room for it.
    public func load(_ image: [UInt8]) throws(KVMError) {
        guard memory.replace(at: Int(Self.start), with: image.span.bytes) else {
            throw KVMError("an image of \(image.count) bytes in \(memory.size) of memory", .fileTooLarge)
        }
        try processors[0].start(at: Self.start)
    }

    /// Runs the guest until it ends itself, ``stop()``, or the time is over.
    ///
    /// - Parameter limit: how long at most; nil: without end.
    /// - Returns: the byte that the guest wrote to port 0xf4; nil when it did not.
    /// - Throws: ``VCPU/Failure`` when a processor can't go on, `Errno` when no thread can be had.
    public func run(within limit: Duration? = nil) throws -> UInt8? {
        var threads: [Thread] = []
        defer {
            for processor in processors { processor.stop() }
            for thread in threads { thread.join() }
        }
        for (number, processor) in processors.enumerated() {
            threads.append(try Thread(name: "vcpu \(number)") { [self] in run(processor) })
        }
        _ = ended.wait(within: limit)
        return try bus.withLock { bus throws(VCPU.Failure) in
            if let failure = bus.failure { throw failure }
            return bus.status
        }
    }

    private func run(_ processor: VCPU) {
        do throws(VCPU.Failure) {
            try processor.run(self)
        } catch {
            bus.withLock { $0.failure = $0.failure ?? error }
            ended.signal()
        }
    }

    /// Makes ``run(within:)`` return. Callable from any thread.
    public func stop() {
        ended.signal()
    }

    /// What servers and KVM refused while the guest was running, a few sentences for each device: an interrupt that
    /// could not be connected, for example.
    public var troubles: [String] {
        bus.withLock { bus in bus.pci.devices.flatMap { $0?.troubles ?? [] } }
    }

    /// How often the guest was left, all processors together.
    public var counters: ExitCounters {
        processors.reduce(into: ExitCounters()) { sum, processor in
            let counters = processor.counters
            sum.memoryReads += counters.memoryReads
            sum.memoryWrites += counters.memoryWrites
            sum.portReads += counters.portReads
            sum.portWrites += counters.portWrites
            sum.others += counters.others
        }
    }
}

extension Machine: ExitHandler {
    public func readMemory(at address: UInt64, width: Int) -> UInt64 {
        bus.withLock { $0.pci.read(address, width: width, in: .memory) }
    }

    public func writeMemory(at address: UInt64, width: Int, value: UInt64) {
        bus.withLock { $0.pci.write(address, width: width, value: value, in: .memory) }
    }

    public func readPort(_ port: UInt16, width: Int) -> UInt64 {
        bus.withLock { bus in
            PCIBus.ports.contains(port)
                ? bus.pci.read(port, width: width) : bus.pci.read(UInt64(port), width: width, in: .io)
        }
    }

    public func writePort(_ port: UInt16, width: Int, value: UInt64) {
        let ends = bus.withLock { bus in
            switch port {
            case 0xe9, 0x3f8: bus.output(UInt8(truncatingIfNeeded: value))
            case 0xf4:
                bus.status = bus.status ?? UInt8(truncatingIfNeeded: value)
                return true
            case PCIBus.ports: bus.pci.write(port, width: width, value: value)
            default: bus.pci.write(UInt64(port), width: width, value: value, in: .io)
            }
            return false
        }
        if ends { ended.signal() }
    }
}
