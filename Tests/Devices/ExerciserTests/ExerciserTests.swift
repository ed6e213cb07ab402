import Device
import GuestMemory
import Linux
import PCI
import Testing

@testable import Exerciser

/// A guest that has the device, 64 KiB of memory at 0x10000, and 4 KiB that the device may only read at 0x30000.
private final class Guest: Transport {
    let host: Host
    let device: Exerciser
    let memory: MemoryFile
    let messageRouting = MessageRouting.byVector(.msix)
    var sent: [Int] = []
    var pin = false

    init() throws {
        host = Host(loop: try EventLoop())
        device = try Exerciser(options: DeviceOptions(for: Exerciser.type), host: host)
        memory = try MemoryFile(name: "guest", size: 0x10000)
        try host.memory.map(
            address: 0x10000, size: 0x10000, access: [.read, .write],
            backing: .file(try memory.descriptor.duplicate(), offset: 0))
        try host.memory.map(
            address: 0x30000, size: 0x1000, access: .read,
            backing: .file(try memory.descriptor.duplicate(), offset: 0))
        host.interrupts.transport = self
    }

    func send(_ kind: InterruptKind, vector: Int, _ message: MSIMessage?) -> Bool {
        sent.append(vector)
        return true
    }

    func setINTx(_ asserted: Bool) { pin = asserted }

    func read(_ offset: UInt64, _ width: AccessWidth = .dword, bar: Int = 0) -> UInt64 {
        device.read(bar, at: offset, width: width)
    }

    func write(_ offset: UInt64, _ value: UInt64, _ width: AccessWidth = .dword, bar: Int = 0) {
        device.write(bar, at: offset, width: width, value: value)
    }

    /// Sets up and starts a transfer.
    ///
    /// - Returns: the status register.
    func transfer(_ command: UInt64, from source: UInt64 = 0, to destination: UInt64 = 0, _ length: UInt64) -> UInt64 {
        write(0x20, source, .qword)
        write(0x28, destination, .qword)
        write(0x30, length)
        write(0x38, command)
        return read(0x3c)
    }

    func fill(_ file: MappedBytes, at offset: Int = 0, with bytes: [UInt8]) {
        file.replace(at: offset, with: bytes.span.bytes)
    }

    func bytes(of file: MappedBytes, at offset: Int = 0, count: Int) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        var span = bytes.mutableSpan
        var raw = span.mutableBytes
        file.copy(at: offset, count: count, into: &raw)
        return bytes
    }
}

private let load: UInt64 = 1
private let store: UInt64 = 2
private let copy: UInt64 = 3
private let fill: UInt64 = 4

@Suite struct ExerciserTests {
    private let guest: Guest

    init() throws {
        guest = try Guest()
    }

    // MARK: Registers

    @Test func scratchRegistersKeepWhatIsWrittenInAnyWidth() {
        guest.write(0x04, 0x1122_3344)
        guest.write(0x05, 0xaa, .byte)
        #expect(guest.read(0x04) == 0x1122_aa44)
        guest.write(0x08, 0x0102_0304_0506_0708, .qword)
        guest.write(0x0e, 0xbeef, .word)
        #expect(guest.read(0x08, .qword) == 0xbeef_0304_0506_0708)
        #expect(guest.read(0x0c) == 0xbeef_0304)
    }

    @Test func theIdentificationCanNotBeWritten() {
        guest.write(0x00, 0)
        #expect(guest.read(0x00) == 0x0001_11e9)
    }

    @Test(arguments: [(0, 0x1c), (0, 0x88), (0, 0xff8), (1, 0xc), (2, 0x8), (2, 0x11000), (3, 0), (4, 0), (7, 0)])
    func whereThereIsNothingReadsZeroAndIgnoresWrites(bar: Int, offset: UInt64) {
        let before = guest.device.state
        guest.write(offset, 0xffff_ffff, bar: bar)
        #expect(guest.read(offset, bar: bar) == 0)
        var after = guest.device.state
        after.reads = before.reads
        after.writes = before.writes
        #expect(after == before)
    }

    @Test func portsReachTheSameRegistersAsMemory() {
        guest.write(0x4, 0xcafe, bar: 1)
        #expect(guest.read(0x04) == 0xcafe)
        guest.write(0x8, 5, bar: 1)
        #expect(guest.sent == [5])
    }

    @Test func accessesAreCounted() {
        for _ in 0..<3 { guest.write(0x04, 1) }
        #expect(guest.read(0x68, .qword) == 3)
        #expect(guest.read(0x60, .qword) == 2)
    }

    @Test func doorbellsAreCountedAndDeclared() {
        #expect(guest.device.bars[0].doorbells == [Exerciser.doorbell])
        guest.device.ring(Exerciser.doorbell, bar: 0, value: 0)
        guest.device.ring(Exerciser.doorbell, bar: 0, value: 0)
        #expect(guest.read(0x78, .qword) == 2)
    }

    // MARK: Interrupts

    @Test func raisingAVectorSendsItsMessage() {
        guest.write(0x10, 0)
        guest.write(0x10, 7)
        #expect(guest.sent == [0, 7])
    }

    @Test(arguments: [8, 2048, 0xffff_ffff]) func aVectorThatIsNotThereIsIgnored(vector: UInt64) {
        guest.write(0x10, vector)
        #expect(guest.sent.isEmpty)
    }

    @Test func thePinStaysAssertedUntilEveryCauseIsCleared() {
        guest.write(0x14, 0b101)
        #expect(guest.pin)
        guest.write(0x18, 0b001)
        #expect(guest.pin)
        #expect(guest.read(0x18) == 0b100)
        guest.write(0x18, 0b010)
        #expect(guest.pin)
        guest.write(0x18, 0b100)
        #expect(!guest.pin)
    }

    // MARK: DMA

    @Test(arguments: [1, 4095, 4096, 4097, 65536]) func loadFillsTheBufferFromGuestMemory(length: Int) {
        let pattern = (0..<length).map { UInt8(truncatingIfNeeded: $0 * 7 + 1) }
        guest.fill(guest.memory, with: pattern)
        #expect(guest.transfer(load, from: 0x10000, UInt64(length)) == 0)
        #expect(guest.bytes(of: guest.device.memory, at: Exerciser.bufferOffset, count: length) == pattern)
        if length < 65536 {
            #expect(guest.bytes(of: guest.device.memory, at: Exerciser.bufferOffset + length, count: 1) == [0])
        }
    }

    @Test func storeWritesTheBufferToGuestMemory() {
        let pattern = (0..<5000).map { UInt8(truncatingIfNeeded: $0 * 3) }
        guest.fill(guest.device.memory, at: Exerciser.bufferOffset, with: pattern)
        #expect(guest.transfer(store, to: 0x10101, 5000) == 0)
        #expect(guest.bytes(of: guest.memory, at: 0x101, count: 5000) == pattern)
        #expect(guest.bytes(of: guest.memory, at: 0x101 + 5000, count: 1) == [0])
    }

    @Test func copyMovesGuestMemory() {
        guest.fill(guest.memory, with: [1, 2, 3, 4])
        #expect(guest.transfer(copy, from: 0x10000, to: 0x18003, 4) == 0)
        #expect(guest.bytes(of: guest.memory, at: 0x8002, count: 6) == [0, 1, 2, 3, 4, 0])
    }

    @Test func fillWritesThePattern() {
        guest.write(0x34, 0x5a, .byte)
        #expect(guest.transfer(fill, to: 0x10010, 5000) == 0)
        #expect(guest.bytes(of: guest.memory, at: 0x10, count: 5000).allSatisfy { $0 == 0x5a })
        #expect(guest.bytes(of: guest.memory, at: 0x10 + 5000, count: 1) == [0])
    }

    @Test func aTransferOfNothingIsDone() {
        for command in [load, store, copy, fill] {
            #expect(guest.transfer(command, from: 0xdead_0000, to: 0xdead_0000, 0) == 0)
        }
        #expect(guest.read(0x70, .qword) == 4)
    }

    @Test func theFaultAddressTellsWhereNothingIsMapped() {
        #expect(guest.transfer(load, from: 0x1f000, 0x2000) == 3)
        #expect(guest.read(0x40, .qword) == 0x20000)
        #expect(guest.transfer(load, from: 0x10000, 16) == 0)
        #expect(guest.read(0x40, .qword) == 0, "the next command clears it")
    }

    @Test func writingWhatMayOnlyBeReadIsDenied() {
        #expect(guest.transfer(store, to: 0x30000, 16) == 4)
        #expect(guest.read(0x40, .qword) == 0x30000)
        #expect(guest.transfer(load, from: 0x30000, 16) == 0)
    }

    @Test(arguments: [0, 5, 0xff, 0xffff_fe00]) func anUnknownCommandDoesNothing(command: UInt64) {
        #expect(guest.transfer(command, from: 0x10000, to: 0x10000, 16) == 1)
    }

    @Test(
        arguments: [
            (load, 65537), (store, 65537), (copy, 1 << 20 + 1), (fill, 1 << 20 + 1), (fill, 0xffff_ffff),
        ] as [(UInt64, UInt64)])
    func aTransferThatIsTooLongIsRefused(command: UInt64, length: UInt64) {
        #expect(guest.transfer(command, from: 0x10000, to: 0x10000, length) == 2)
    }

    @Test(arguments: [load, store, copy, fill]) func aRangeThatRunsPastTheEndOfAddressesIsRefused(command: UInt64) {
        let status = guest.transfer(command, from: 0xffff_ffff_ffff_fff0, to: 0xffff_ffff_ffff_fff0, 0x20)
        #expect(status == 6)
        #expect(guest.read(0x40, .qword) == 0xffff_ffff_ffff_fff0)
    }

    @Test func aPieceThatBeginsPastTheEndOfAddressesIsRefused() throws {
        try guest.host.memory.map(
            address: 0xffff_ffff_ffff_f000, size: 0x1000, access: [.read, .write],
            backing: .file(try guest.memory.descriptor.duplicate(), offset: 0))
        #expect(guest.transfer(load, from: 0xffff_ffff_ffff_f000, 0x1000) == 0)
        #expect(guest.transfer(load, from: 0xffff_ffff_ffff_f000, 0x1001) == 6)
    }

    @Test func aCommandCanEndWithAnInterruptWhateverCameOfIt() {
        #expect(guest.transfer(load | 1 << 8 | 3 << 16, from: 0x10000, 16) == 0)
        #expect(guest.transfer(load | 1 << 8 | 4 << 16, from: 0, 16) == 3)
        #expect(guest.transfer(load | 1 << 8 | 200 << 16, from: 0x10000, 16) == 0)
        #expect(guest.sent == [3, 4])
    }

    @Test func aPartlyWrittenCommandIsACommand() {
        guest.write(0x20, 0x10000, .qword)
        guest.write(0x30, 1)
        guest.fill(guest.memory, with: [9])
        guest.write(0x38, load, .byte)
        #expect(guest.bytes(of: guest.device.memory, at: Exerciser.bufferOffset, count: 1) == [9])
    }

    // MARK: The buffer

    @Test func theChecksumIsTheBuffersCRC32() {
        #expect(guest.read(0x4, bar: 2) == 0xd797_8eeb)
        guest.fill(guest.device.memory, at: Exerciser.bufferOffset, with: Array("123456789".utf8))
        #expect(guest.read(0x4, bar: 2) == 0xcdca_d138)
    }

    @Test func theBufferLiesBehindATrappedPage() {
        let window = guest.device.bars[2]
        #expect(window.mapped == [4096..<4096 + guest.read(0x0, bar: 2)])
        #expect(window.mapped[0].upperBound <= window.layout.size)
    }

    // MARK: State

    @Test func restoringGoesOnWhereTheStateWasTaken() throws {
        guest.write(0x04, 0x1234_5678)
        guest.write(0x14, 1)
        _ = guest.transfer(load, from: 0x1f000, 0x2000)
        let other = try Guest()
        try other.device.restore(guest.device.state)
        #expect(other.device.state == guest.device.state)
        #expect(other.pin)
        #expect(other.read(0x40, .qword) == 0x20000)
    }

    @Test func resetIsThePowerOnStateButKeepsTheBuffer() {
        guest.write(0x04, 1)
        guest.write(0x14, 1)
        guest.fill(guest.device.memory, at: Exerciser.bufferOffset, with: [7])
        guest.device.reset()
        #expect(guest.device.state == Exerciser.State())
        #expect(!guest.pin)
        #expect(guest.bytes(of: guest.device.memory, at: Exerciser.bufferOffset, count: 1) == [7])
    }
}
