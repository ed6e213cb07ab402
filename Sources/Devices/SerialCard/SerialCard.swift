import Device
import Linux
import PCI

/// A PCI serial card with one 16550A port, driven by the stock drivers of Linux, the BSDs and Windows.
public final class SerialCard: Device {
    public static let type = DeviceType(
        name: "serial",
        summary: "A PCI serial card with one 16550A port",
        options: [
            .init(
                "line", .text, default: "none",
                help: "What the port is connected to: none, unix:PATH (listens there), pty, or pty:LINK.")
        ],
        registers: UART.registers.names(bar: 0, fields: UART.fields))

    /// QEMU's pci-serial, a published interface: one 16550 in an 8-byte I/O BAR, interrupt on pin A. Linux (8250_pci)
    /// finds it by its class, and guesses one port of 115200 baud from the size of the BAR.
    public let identity = PCIIdentity(
        vendor: 0x1b36, device: 0x0002, class: .serial16550, revision: 1, subsystemVendor: 0x1af4, subsystem: 0x1100)
    public let bars: [BAR] = [.io(0, size: 8)]
    public let interruptPin: InterruptPin? = .a

    private let host: Host
    private let line: Line
    private var uart = UART()
    private var isRunning = true

    public init(options: DeviceOptions, host: Host) throws {
        self.host = host
        line = try Line(options.text("line") ?? "none", host: host)
        line.onChange = { [unowned self] in settle() }
        settle()
    }

    public var connected: [String] { line.isConnected ? [Line.name] : [] }
    public var kept: [String: [UInt8]] {
        get { line.kept.isEmpty ? [:] : [Line.name: line.kept] }
        set { line.kept = newValue[Line.name] ?? [] }
    }

    /// Where a peer finds the line: the path of the socket, or of the slave of the pseudo-terminal.
    public var linePath: String? { line.path }

    // MARK: Registers

    private var registers: RegisterMap<UART.Register> {
        uart.lineControl.contains(.divisorLatchAccess) ? UART.divisorRegisters : UART.registers
    }

    public func read(_ bar: Int, at offset: UInt64, width: AccessWidth) -> UInt64 {
        defer { settle() }
        return registers.read(at: offset, width: width) { UInt64(uart.read($0)) }
    }

    public func write(_ bar: Int, at offset: UInt64, width: AccessWidth, value: UInt64) {
        registers.write(at: offset, width: width, value: value) { register, written in
            uart.write(register, written.merged(into: 0))
            settle()
        }
    }

    /// Moves what can move between the FIFOs and the line, and brings the interrupt pin to its level.
    private func settle() {
        guard isRunning else { return }
        line.sendKept()
        if uart.isLoopedBack { uart.transmitToReceiver() } else { uart.transmit(line.send) }
        if uart.isListening, uart.receiver.isEmpty { uart.receive(line.receive(into:limit:)) }
        // Nobody will take what a peer sent that has left: make way for the next one.
        if line.hasHungUp, !uart.isListening { line.disconnect() }
        uart.connect(line.isConnected ? [.clearToSend, .dataSetReady, .carrierDetect] : [])
        line.wait(forRoom: !uart.isLoopedBack && !uart.transmitter.isEmpty)
        host.interrupts.setINTx(uart.assertsInterrupt)
    }

    // MARK: Reset and state

    public func setRunning(_ running: Bool) {
        isRunning = running
        if running { settle() } else { line.pause() }
    }

    public func reset() {
        uart = UART()
        settle()
        uart.modemStatus.subtract(.deltas)
    }

    public var state: State { State(uart) }

    public func restore(_ state: State) throws(StateError) {
        uart = try UART(state)
        settle()
    }
}
