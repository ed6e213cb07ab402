import Testing

@testable import SerialCard

/// What Linux's 8250 driver does to find out which chip it has, step by step.
/// drivers/tty/serial/8250/8250_port.c: autoconfig, autoconfig_16550a, size_fifo, serial8250_do_startup.
@Suite struct ProbeTests {
    private let bench: Bench

    init() throws {
        bench = try Bench()
    }

    @Test func theInterruptEnableRegisterHasFourBits() {
        bench.set(.ier, 0x00)
        #expect(bench.get(.ier) & 0x0f == 0x00)
        bench.set(.ier, 0x0f)
        #expect(bench.get(.ier) & 0x0f == 0x0f)
    }

    @Test func loopbackShowsCarrierAndClearToSend() {
        bench.set(.mcr, 0x1a)
        #expect(bench.get(.msr) & 0xf0 == 0x90)
    }

    @Test func theFIFOsSayThat16550AIsTheChip() {
        bench.set(.lcr, 0xbf)
        bench.set(.iirFCR, 0x00)
        bench.set(.lcr, 0x00)
        bench.set(.iirFCR, 0x01)
        #expect(bench.get(.iirFCR) & 0xc0 == 0xc0)
    }

    @Test func noneOfTheLaterChipsIsFound() {
        bench.set(.iirFCR, 0x01)
        // 16650 and its kin have an extended features register of 0 behind the divisor latch.
        bench.set(.lcr, 0x80)
        #expect(bench.get(.iirFCR) != 0)
        bench.set(.lcr, 0xbf)
        #expect(bench.get(.iirFCR) != 0)
        // National's Super I/O mirrors the modem control register's loopback bit.
        bench.set(.lcr, 0xe0)
        #expect(bench.get(.iirFCR) & 0x10 == 0)
        // The 16750 has 64-byte FIFOs, told by bit 5.
        for latch in [0x00, 0x80] as [UInt8] {
            bench.set(.lcr, latch)
            bench.set(.iirFCR, 0x21)
            #expect(bench.get(.iirFCR) >> 5 == 6)
            bench.set(.iirFCR, 0x01)
        }
        // XScale has an enable bit at 6.
        bench.set(.lcr, 0x00)
        bench.set(.ier, 0x40)
        #expect(bench.get(.ier) & 0x40 == 0)
    }

    @Test func aFIFOHoldsSixteen() {
        bench.set(.iirFCR, 0x07)
        bench.set(.mcr, 0x10)
        for byte in UInt8.min ... .max { bench.set(.data, byte) }
        #expect(bench.drain().count == 16)
    }

    @Test func theTransmitterInterruptIsThereEachTimeItIsEnabled() {
        for _ in 0..<2 {
            bench.set(.ier, 0x02)
            #expect(bench.get(.lsr) & 0x40 != 0)
            #expect(bench.get(.iirFCR) & 0x0f == 0x02)
            bench.set(.ier, 0x00)
        }
    }
}
