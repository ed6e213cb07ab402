import Device
import Linux
import PCI
import Testing

/// What a transport is asked for: BARs placed, messages sent by address, the pin set.
@Suite struct TransportTests {
    private final class Card: Device {
        static var type: DeviceType { DeviceType(name: "card", summary: "A card with everything.") }
        let identity = PCIIdentity(vendor: 0x1234, device: 0x5678, class: .unclassified)
        let bars: [BAR] = [
            .memory(0, size: 4096), .io(1, size: 16), .memory(2, size: 1 << 16, is64Bit: true),
        ]
        let capabilities: [Capability] = [
            .powerManagement, .msi(vectors: 4, perVectorMasking: true),
            .msix(vectors: 3, tableBAR: 0, tableOffset: 0x800, pendingBAR: 0, pendingOffset: 0xc00), .pciExpress,
        ]
        let rom: [UInt8]? = [0x55, 0xaa]
        let state = 0

        init(options: DeviceOptions, host: Host) {}
        func read(_ bar: Int, at offset: UInt64, width: AccessWidth) -> UInt64 { 0 }
        func write(_ bar: Int, at offset: UInt64, width: AccessWidth, value: UInt64) {}
        func reset() {}
        func restore(_ state: Int) throws(StateError) {}
    }

    private final class Slot: Transport {
        let messageRouting: MessageRouting
        var placed: [String] = []
        var sent: [MSIMessage?] = []

        init(_ routing: MessageRouting) { messageRouting = routing }

        func send(_ kind: InterruptKind, vector: Int, _ message: MSIMessage?) -> Bool {
            sent.append(message)
            return true
        }

        func setINTx(_ asserted: Bool) {}

        func place(_ region: Int, at placement: BARPlacement?) {
            placed.append(
                "\(region) " + (placement.map { "\($0.space) \(String($0.address, radix: 16))" } ?? "nowhere"))
        }

        func takePlaced() -> [String] {
            defer { placed = [] }
            return placed
        }

        func takeSent() -> [MSIMessage?] {
            defer { sent = [] }
            return sent
        }
    }

    private let host: Host
    private let function: Function
    private let slot: Slot

    private init(_ routing: MessageRouting) throws {
        host = Host(loop: try EventLoop())
        function = try Function(Card(options: DeviceOptions(for: Card.type), host: host), host: host)
        slot = Slot(routing)
        function.transport = slot
    }

    init() throws { try self.init(.byAddress) }

    private static let command = 0x04, bar0 = 0x10, bar1 = 0x14, bar2 = 0x18, rom = 0x30
    private static let pmcsr = 0x44, msi = 0x48, msix = 0x60, express = 0x6c

    private func configure(_ offset: Int, _ value: UInt32, width: Int = 4) throws {
        let bytes = (0..<width).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
        try function.write(region: RegionIndex.configuration, offset: UInt64(offset), from: bytes.span.bytes)
    }

    private func store(_ value: UInt32, at offset: UInt64) throws {
        let bytes = (0..<4).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
        try function.write(region: 0, offset: offset, from: bytes.span.bytes)
    }

    private func pending() throws -> UInt8 {
        var bytes: [UInt8] = [0]
        var span = bytes.mutableSpan
        var raw = span.mutableBytes
        try function.read(region: 0, offset: 0xc00, into: &raw)
        return bytes[0]
    }

    private func placeAll() throws {
        try configure(Self.bar0, 0xe000_0000)
        try configure(Self.bar1, 0xc000)
        try configure(Self.bar2, 0x1234_0000)
        try configure(Self.bar2 + 4, 0x1)
        try configure(Self.rom, 0xd000_0001)
    }

    // MARK: Places

    @Test func barsArePlacedWhenTheirSpaceIsSwitchedOn() throws {
        try placeAll()
        #expect(slot.takePlaced() == [])
        try configure(Self.command, 1, width: 2)
        #expect(slot.takePlaced() == ["1 io c000"])
        try configure(Self.command, 3, width: 2)
        #expect(slot.takePlaced() == ["0 memory e0000000", "2 memory 112340000", "6 memory d0000000"])
        try configure(Self.command, 0, width: 2)
        #expect(slot.takePlaced() == ["0 nowhere", "1 nowhere", "2 nowhere", "6 nowhere"])
    }

    @Test func aBARThatMovesIsTakenAwayBeforeItIsPlacedAgain() throws {
        try placeAll()
        try configure(Self.command, 2, width: 2)
        _ = slot.takePlaced()
        try configure(Self.bar0, 0xe100_0000)
        #expect(slot.takePlaced() == ["0 nowhere", "0 memory e1000000"])
        // A write that changes nothing moves nothing, nor does another register.
        try configure(Self.bar0, 0xe100_0000)
        try configure(0x3c, 0x0b, width: 1)
        #expect(slot.takePlaced() == [])
        // Its ROM has a switch of its own.
        try configure(Self.rom, 0xd000_0000)
        #expect(slot.takePlaced() == ["6 nowhere"])
    }

    @Test func aBARAtZeroOrWithoutRoomIsNowhere() throws {
        try configure(Self.command, 3, width: 2)
        #expect(slot.takePlaced() == [])
        try configure(Self.bar2, 0xffff_ffff)
        _ = slot.takePlaced()
        // All ones, as sizing writes them: the last place that a BAR of this size can have, which it just fits.
        try configure(Self.bar2 + 4, 0xffff_ffff)
        #expect(slot.takePlaced() == ["2 nowhere", "2 memory ffffffffffff0000"])
        try configure(Self.bar2, 0)
        try configure(Self.bar2 + 4, 0)
        #expect(slot.takePlaced().last == "2 nowhere")
    }

    @Test func inD3hotAndAfterAResetNothingIsPlaced() throws {
        try placeAll()
        try configure(Self.command, 2, width: 2)
        _ = slot.takePlaced()
        try configure(Self.pmcsr, 3, width: 2)
        #expect(slot.takePlaced() == ["0 nowhere", "2 nowhere", "6 nowhere"])
        // Back in D0 the function is reset, its BARs with it.
        try configure(Self.pmcsr, 0, width: 2)
        #expect(slot.takePlaced() == [])
        try placeAll()
        try configure(Self.command, 2, width: 2)
        #expect(slot.takePlaced().count == 3)
        function.reset()
        #expect(slot.takePlaced() == ["0 nowhere", "2 nowhere", "6 nowhere"])
    }

    @Test func aTransportThatComesLaterIsToldWhereEverythingIs() throws {
        try placeAll()
        try configure(Self.command, 2, width: 2)
        let next = Slot(.byAddress)
        function.transport = next
        #expect(next.takePlaced() == ["0 memory e0000000", "2 memory 112340000", "6 memory d0000000"])
    }

    // MARK: Messages

    private func setUpMSIX() throws {
        try configure(Self.command, 6, width: 2)
        for vector in 0..<UInt32(3) {
            try store(0xfee0_0000 + vector * 0x1000, at: 0x800 + UInt64(vector) * 16)
            try store(0x40 + vector, at: 0x808 + UInt64(vector) * 16)
            try store(0, at: 0x80c + UInt64(vector) * 16)
        }
        try configure(Self.msix + 2, 0x8000, width: 2)
    }

    @Test func aMessageCarriesWhatTheTableSays() throws {
        try setUpMSIX()
        host.interrupts.raise(2)
        #expect(slot.takeSent() == [MSIMessage(address: 0xfee0_2000, data: 0x42)])
        // Changed while it is on.
        try store(0x99, at: 0x828)
        host.interrupts.raise(2)
        #expect(slot.takeSent() == [MSIMessage(address: 0xfee0_2000, data: 0x99)])
        // There is no such vector.
        host.interrupts.raise(3)
        #expect(slot.takeSent() == [])
    }

    @Test func theTablesMasksHoldMessagesBack() throws {
        try setUpMSIX()
        try store(1, at: 0x81c)
        host.interrupts.raise(1)
        host.interrupts.raise(1)
        #expect(slot.takeSent() == [])
        #expect(try pending() == 1 << 1)
        try store(0, at: 0x81c)
        #expect(slot.takeSent() == [MSIMessage(address: 0xfee0_1000, data: 0x41)])
        #expect(try pending() == 0)
        // The whole function's.
        try configure(Self.msix + 2, 0xc000, width: 2)
        host.interrupts.raise(0)
        #expect(slot.takeSent() == [])
        try configure(Self.msix + 2, 0x8000, width: 2)
        #expect(slot.takeSent() == [MSIMessage(address: 0xfee0_0000, data: 0x40)])
    }

    @Test func whatIsPendingGoesWithTheKindThatIsSwitchedOff() throws {
        try setUpMSIX()
        try store(1, at: 0x81c)
        host.interrupts.raise(1)
        try configure(Self.msix + 2, 0, width: 2)
        try store(0, at: 0x81c)
        try configure(Self.msix + 2, 0x8000, width: 2)
        #expect(slot.takeSent() == [])
    }

    @Test func aMessageOfMSICarriesItsNumber() throws {
        try setUpMSI()
        try configure(Self.msi + 16, 0b100)
        host.interrupts.raise(3)
        host.interrupts.raise(2)
        #expect(slot.takeSent() == [MSIMessage(address: 0xfee0_0000, data: 0x33)])
        try configure(Self.msi + 16, 0)
        #expect(slot.takeSent() == [MSIMessage(address: 0xfee0_0000, data: 0x32)])
    }

    /// With four vectors.
    private func setUpMSI() throws {
        try configure(Self.command, 4, width: 2)
        try configure(Self.msi + 4, 0xfee0_0000)
        try configure(Self.msi + 12, 0x30, width: 2)
        try configure(Self.msi + 2, 0x21, width: 2)
    }

    @Test func whatAStateHasPendingGoesOutUnderItsOwnMasks() throws {
        let other = try TransportTests(.byAddress)
        try other.setUpMSI()
        try other.configure(Self.msi + 16, 0b100)
        other.host.interrupts.raise(2)
        let reader = try StateReader(other.function)
        var bytes = [UInt8](repeating: 0, count: reader.size)
        var span = bytes.mutableSpan
        var raw = span.mutableBytes
        #expect(reader.read(into: &raw) == reader.size)

        // Into a function where the guest has switched on another kind.
        try setUpMSIX()
        let writer = StateWriter(function)
        try writer.write(bytes.span.bytes)
        try writer.finish()
        #expect(slot.takeSent() == [])
        try configure(Self.msi + 16, 0)
        #expect(slot.takeSent() == [MSIMessage(address: 0xfee0_0000, data: 0x32)])
    }

    @Test func byNumberTheClientsWordCounts() throws {
        let bench = try TransportTests(.byVector(.msix))
        // The table, as it was made, masks all.
        try bench.configure(Self.command, 6, width: 2)
        bench.host.interrupts.raise(1)
        #expect(bench.slot.takeSent() == [nil])
        // While nothing was said, messages wait.
        let silent = try TransportTests(.byVector(nil))
        try silent.setUpMSIX()
        silent.host.interrupts.raise(1)
        #expect(silent.slot.takeSent() == [])
        #expect(try silent.pending() == 1 << 1)
    }
}
