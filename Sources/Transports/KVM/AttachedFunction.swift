import Device
import Linux
import PCI

/// A function of this process in a guest's PCI slot, with no client and no server between them.
///
/// The function tells where the guest has put its BARs. Their mapped parts become memory slots, their doorbells
/// ioeventfds; its messages go out by address and data, its pin is a pin of the interrupt controllers.
final class AttachedFunction: AttachedDevice, Transport, Sendable {
    private let thread: FunctionThread
    private let machine: VirtualMachine
    private let pin: VirtualMachine.Pin
    /// By region: 0 to 5, and the expansion ROM.
    private let parts: [Parts]
    private let state = Locked(State())

    /// What a region is made of, wherever the guest puts it.
    private struct Parts: Sendable {
        let region: Function.Region
        let doorbells: [(doorbell: Doorbell, eventFD: EventFD)]
    }

    /// Changed while the function has its turn, looked at by any vCPU.
    private struct State {
        var bars = [PlacedBAR?](repeating: nil, count: RegionIndex.rom + 1)
        var troubles = Troubles()
    }

    /// - Parameters:
    ///   - pin: the interrupt controllers' pin behind INTx.
    ///   - make: makes the function on a host that has the guest's memory.
    init(_ machine: VirtualMachine, pin: UInt32, make: sending (Host) throws -> Function) throws {
        self.machine = machine
        self.pin = machine.pin(pin)
        let thread = try FunctionThread(name: "device", make: make)
        self.thread = thread
        let regions = thread.withFunction { (0...RegionIndex.rom).compactMap($0.region) }
        parts = try regions.enumerated().map { index, region in
            // One that keeps its value needs the write itself: KVM's event has none.
            let bells = region.doorbells.filter { !$0.keepsValue }
            return Parts(region: region, doorbells: try bells.map { ($0, try thread.eventFD(of: $0, bar: index)) })
        }
        thread.withFunction { function in
            // As firmware does, for the guest's driver.
            let line = [UInt8(truncatingIfNeeded: pin)]
            try? function.write(region: RegionIndex.configuration, offset: 0x3c, from: line.span.bytes)
            function.transport = self
        }
    }

    var troubles: [String] { state.withLock { $0.troubles.all } }

    // MARK: Accesses

    func readConfiguration(at register: UInt64, width: Int) -> UInt64 {
        read(RegionIndex.configuration, at: register, width: width)
    }

    func writeConfiguration(at register: UInt64, width: Int, value: UInt64) {
        write(RegionIndex.configuration, at: register, width: width, value: value)
    }

    func decode(_ address: UInt64, width: Int, in space: BARPlacement.Space) -> (bar: Int, offset: UInt64)? {
        state.withLock { $0.bars.decode(address, width: width, in: space) }
    }

    func readBAR(_ bar: Int, at offset: UInt64, width: Int) -> UInt64 {
        read(bar, at: offset, width: width)
    }

    func writeBAR(_ bar: Int, at offset: UInt64, width: Int, value: UInt64) {
        write(bar, at: offset, width: width, value: value)
    }

    /// - Returns: all ones when the function refuses, as where nobody answers.
    private func read(_ region: Int, at offset: UInt64, width: Int) -> UInt64 {
        thread.withFunction { function in
            var bytes: InlineArray<8, UInt8> = .init(repeating: 0)
            var span = bytes.mutableSpan
            var raw = span.mutableBytes
            var target = raw._mutatingExtracting(0..<width)
            do throws(AccessError) { try function.read(region: region, offset: offset, into: &target) } catch {
                return .max
            }
            return bytes.indices.reversed().reduce(0) { $0 << 8 | UInt64(bytes[$1]) }
        }
    }

    /// A write that the function refuses is lost, as on a bus.
    private func write(_ region: Int, at offset: UInt64, width: Int, value: UInt64) {
        let bytes = InlineArray<8, UInt8> { UInt8(truncatingIfNeeded: value >> UInt64(8 * $0)) }
        thread.withFunction { function in
            try? function.write(region: region, offset: offset, from: bytes.span.bytes.extracting(0..<width))
        }
    }

    // MARK: Transport

    var messageRouting: MessageRouting { .byAddress }

    func send(_ kind: InterruptKind, vector: Int, _ message: MSIMessage?) -> Bool {
        guard let message else { return false }
        do throws(KVMError) {
            try machine.send(message)
        } catch {
            note("Vector \(vector) could not be sent", error)
        }
        // A message that the guest's interrupt controller doesn't take is lost, as on a bus.
        return true
    }

    func setINTx(_ asserted: Bool) {
        do throws(KVMError) { try pin.set(asserted) } catch { note("The pin could not be set", error) }
    }

    /// Takes a BAR to where the guest has put it. Where KVM takes no slot and no event, accesses exit and are answered
    /// all the same.
    func place(_ region: Int, at placement: BARPlacement?) {
        // Whatever was there goes before something else comes.
        state.withLock { $0.bars[region] = nil }
        guard let placement else { return }
        let parts = parts[region]
        let placed = PlacedBAR(
            placement: placement, size: parts.region.size,
            memory: placement.space == .memory ? slots(parts.region, at: placement.address) : [],
            events: parts.doorbells.compactMap { doorbell, eventFD in
                try? machine.event(
                    onWriteAt: placement.address + doorbell.offset, width: UInt32(doorbell.width.rawValue),
                    match: doorbell.match, in: placement.space, eventFD)
            })
        state.withLock { $0.bars[region] = placed }
    }

    private func slots(_ region: Function.Region, at base: UInt64) -> [VirtualMachine.MemorySlot] {
        guard let memory = region.memory else { return [] }
        return region.mapped.compactMap { part in
            guard let start = Int(exactly: part.lowerBound), let end = Int(exactly: part.upperBound) else { return nil }
            return try? machine.map(
                memory.mapping, start..<end, at: base + part.lowerBound, isReadOnly: !region.isWritable)
        }
    }

    private func note(_ what: String, _ error: KVMError) {
        state.withLock { $0.troubles.note(what, error) }
    }
}
