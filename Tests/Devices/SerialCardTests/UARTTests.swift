import Device
import PCI
import Testing

@testable import SerialCard

@Suite struct UARTTests {
    private let bench: Bench

    init() throws {
        bench = try Bench()
    }

    /// Loopback with RTS, DTR and OUT2, FIFOs on.
    private func loopBack(trigger: UInt8 = 0x00) {
        bench.set(.iirFCR, 0x07 | trigger)
        bench.set(.mcr, 0x1b)
        _ = bench.get(.msr)
    }

    // MARK: Registers

    @Test func theCardIsASerialPortOfEightPortsOnPinA() {
        #expect(bench.card.identity.classCode == PCIClass(base: 0x07, sub: 0x00, interface: 0x02))
        #expect(bench.card.bars.map(\.layout) == [BARLayout(index: 0, space: .io, size: 8)])
        #expect(bench.card.interruptPin == .a)
    }

    @Test func registersHoldTheirResetValues() {
        var uart = UART()
        for register in UART.Register.allCases {
            let map = [.divisorLow, .divisorHigh].contains(register) ? UART.divisorRegisters : UART.registers
            #expect(UInt64(uart.read(register)) == map.reset(register), "\(register)")
        }
    }

    @Test(arguments: [(Port.ier, 0x0f), (.lcr, 0xff), (.mcr, 0x1f), (.scr, 0xff)] as [(Port, UInt8)])
    func aRegisterKeepsTheBitsItHas(port: Port, bits: UInt8) {
        bench.set(port, 0xff)
        #expect(bench.get(port) == bits)
        bench.set(port, 0x00)
        #expect(bench.get(port) == 0)
    }

    @Test func statusRegistersIgnoreWrites() {
        bench.set(.lsr, 0xff)
        bench.set(.msr, 0xff)
        #expect(bench.get(.lsr) == 0x60)
        #expect(bench.get(.msr) == 0x00)
    }

    @Test func theDivisorIsBehindTheLatchAccessBit() {
        bench.set(.ier, 0x05)
        bench.set(.lcr, 0x83)
        bench.set(.data, 0x34)
        bench.set(.ier, 0x12)
        #expect(bench.get(.data) == 0x34)
        #expect(bench.get(.ier) == 0x12)
        bench.set(.lcr, 0x03)
        #expect(bench.get(.ier) == 0x05)
        #expect(bench.get(.lsr) == 0x60)
        #expect(bench.card.state.divisor == 0x1234)
    }

    @Test func aWideAccessReachesSeveralRegisters() {
        bench.card.write(0, at: 4, width: .dword, value: 0x5a00_0003)
        #expect(bench.get(.mcr) == 0x03)
        #expect(bench.get(.scr) == 0x5a)
        #expect(bench.card.read(0, at: 4, width: .dword) == 0x5a00_6003)
    }

    @Test func anEmptyReceiverReadsZero() {
        #expect(bench.get(.data) == 0)
        #expect(bench.get(.lsr) == 0x60)
    }

    // MARK: FIFOs

    @Test func fifoControlCountsOnlyWithItsEnableBit() {
        bench.set(.iirFCR, 0xc6)
        #expect(bench.get(.iirFCR) == 0x01)
        bench.set(.iirFCR, 0xc1)
        #expect(bench.get(.iirFCR) == 0xc1)
        bench.set(.iirFCR, 0x00)
        #expect(bench.get(.iirFCR) == 0x01)
    }

    @Test func clearingTheReceiverLeavesNothing() {
        loopBack()
        bench.set(.data, 1)
        bench.set(.iirFCR, 0x03)
        #expect(bench.get(.lsr) == 0x60)
    }

    @Test func clearingOnlyTheTransmitterLeavesTheReceiver() {
        loopBack()
        bench.set(.data, 7)
        bench.set(.iirFCR, 0x05)
        #expect(bench.drain() == [7])
    }

    @Test func turningTheFIFOsOffClearsThem() {
        loopBack()
        bench.set(.data, 1)
        bench.set(.iirFCR, 0x00)
        #expect(bench.get(.lsr) == 0x60)
    }

    @Test func theSeventeenthCharacterIsLostAndReportedOnce() {
        loopBack()
        for character in UInt8(1)...17 { bench.set(.data, character) }
        #expect(bench.get(.lsr) == 0x63)
        #expect(bench.get(.lsr) == 0x61)
        #expect(bench.drain() == Array(1...16))
    }

    @Test func withoutFIFOsTheOlderCharacterIsLost() {
        bench.set(.mcr, 0x1b)
        bench.set(.data, 1)
        bench.set(.data, 2)
        #expect(bench.get(.lsr) == 0x63)
        #expect(bench.drain() == [2])
    }

    // MARK: Interrupts

    @Test func nothingGoesOutWithoutOut2() {
        bench.set(.ier, 0x02)
        #expect(bench.levels.isEmpty)
        bench.set(.mcr, 0x08)
        #expect(bench.levels == [true])
        bench.set(.mcr, 0x00)
        #expect(bench.levels == [true, false])
    }

    @Test func anEmptyTransmitterInterruptsUntilIdentified() {
        bench.set(.mcr, 0x08)
        bench.set(.ier, 0x02)
        #expect(bench.pin)
        #expect(bench.get(.iirFCR) == 0x02)
        #expect(!bench.pin)
        #expect(bench.get(.iirFCR) == 0x01)
    }

    @Test func enablingTheTransmitterInterruptAgainRaisesItAgain() {
        bench.set(.ier, 0x02)
        _ = bench.get(.iirFCR)
        bench.set(.ier, 0x02)
        #expect(bench.get(.iirFCR) == 0x01)
        bench.set(.ier, 0x00)
        bench.set(.ier, 0x02)
        #expect(bench.get(.iirFCR) == 0x02)
    }

    @Test func identifyingAnotherCauseLeavesTheTransmitters() {
        loopBack()
        bench.set(.ier, 0x03)
        bench.set(.data, 1)
        #expect(bench.get(.iirFCR) == 0xc4)
        _ = bench.drain()
        #expect(bench.get(.iirFCR) == 0xc2)
        #expect(bench.get(.iirFCR) == 0xc1)
    }

    @Test(arguments: [(0x00, 1), (0x40, 4), (0x80, 8), (0xc0, 14)] as [(UInt8, Int)])
    func theTriggerLevelTellsDataFromTimeout(bits: UInt8, level: Int) {
        loopBack(trigger: bits)
        bench.set(.ier, 0x01)
        for _ in 1..<level {
            bench.set(.data, 0x55)
            #expect(bench.get(.iirFCR) == 0xcc)
        }
        bench.set(.data, 0x55)
        #expect(bench.get(.iirFCR) == 0xc4)
        #expect(bench.pin)
        _ = bench.drain()
        #expect(bench.get(.iirFCR) == 0xc1)
        #expect(!bench.pin)
    }

    @Test func lineStatusComesFirstAndGoesWhenRead() {
        loopBack()
        bench.set(.ier, 0x0f)
        for character in UInt8(0)...16 { bench.set(.data, character) }
        bench.set(.mcr, 0x19)
        #expect(bench.get(.iirFCR) == 0xc6)
        _ = bench.get(.lsr)
        #expect(bench.get(.iirFCR) == 0xc4)
        _ = bench.drain()
        #expect(bench.get(.iirFCR) == 0xc2)
        #expect(bench.get(.iirFCR) == 0xc0)
        _ = bench.get(.msr)
        #expect(bench.get(.iirFCR) == 0xc1)
    }

    @Test func disablingACauseTakesThePinDown() {
        loopBack()
        bench.set(.ier, 0x01)
        bench.set(.data, 1)
        #expect(bench.pin)
        bench.set(.ier, 0x00)
        #expect(!bench.pin)
    }

    // MARK: Modem lines and break

    @Test(arguments: [(0x01, 0x20), (0x02, 0x10), (0x04, 0x40), (0x08, 0x80)] as [(UInt8, UInt8)])
    func inLoopbackEachOutputDrivesItsInput(output: UInt8, input: UInt8) {
        bench.set(.mcr, 0x10 | output)
        #expect(bench.get(.msr) & 0xf0 == input)
        bench.set(.mcr, output)
        #expect(bench.get(.msr) & 0xf0 == 0)
    }

    @Test func changesOfInputsShowUntilRead() {
        bench.set(.mcr, 0x1b)
        #expect(bench.get(.msr) == 0xbb)
        #expect(bench.get(.msr) == 0xb0)
    }

    @Test func onlyTheEndOfARingCounts() {
        bench.set(.mcr, 0x14)
        #expect(bench.get(.msr) == 0x40)
        bench.set(.mcr, 0x10)
        #expect(bench.get(.msr) == 0x04)
    }

    @Test func aBreakInLoopbackIsAZeroWithItsMark() {
        loopBack()
        bench.set(.data, 9)
        bench.set(.lcr, 0x43)
        bench.set(.lcr, 0x03)
        #expect(bench.get(.lsr) == 0xe1)
        #expect(bench.get(.data) == 9)
        #expect(bench.get(.lsr) == 0xf1)
        #expect(bench.get(.lsr) == 0x61)
        #expect(bench.get(.data) == 0)
    }

    @Test func aBreakOutsideLoopbackStaysOutside() {
        bench.set(.lcr, 0x43)
        #expect(bench.get(.lcr) == 0x43)
        #expect(bench.get(.lsr) == 0x60)
    }

    @Test func resetGoesBackToPowerOn() {
        let before = bench.card.state
        loopBack()
        bench.set(.ier, 0x0f)
        bench.set(.scr, 0x11)
        bench.set(.data, 1)
        #expect(bench.pin)
        bench.card.reset()
        #expect(bench.card.state == before)
        #expect(!bench.pin)
    }
}
