import Device
import Linux

@testable import BochsDisplay

/// The driver's side of a display: registers by the names that data sheets use, and pixels.
final class Driver {
    let display: BochsDisplay
    let host: Host

    /// - Parameter options: `KEY=VALUE` words.
    init(_ options: String...) throws {
        host = Host(loop: try EventLoop())
        display = try BochsDisplay(options: DeviceOptions(options, for: BochsDisplay.type), host: host)
    }

    subscript(register: DISPI.Register) -> UInt64 {
        get { read(0x500 + UInt64(register.rawValue) * 2, .word) }
        set { write(0x500 + UInt64(register.rawValue) * 2, newValue, .word) }
    }

    /// A VGA port, by its number on a PC.
    subscript(port port: UInt64) -> UInt64 {
        get { read(0x400 + port - 0x3c0, .byte) }
        set { write(0x400 + port - 0x3c0, newValue, .byte) }
    }

    func read(_ offset: UInt64, _ width: AccessWidth) -> UInt64 {
        display.read(2, at: offset, width: width)
    }

    func write(_ offset: UInt64, _ value: UInt64, _ width: AccessWidth) {
        display.write(2, at: offset, width: width, value: value)
    }

    /// Sets a mode in the order that Linux's driver does.
    func setMode(_ width: UInt64, _ height: UInt64, bits: UInt64, enable: UInt64 = 0x41) {
        self[.enable] = 0
        self[.bitsPerPixel] = bits
        self[.width] = width
        self[.height] = height
        self[.bank] = 0
        self[.virtualWidth] = width
        self[.xOffset] = 0
        self[.yOffset] = 0
        self[.enable] = enable
    }

    func draw(_ bytes: [UInt8], at offset: Int) {
        display.videoMemory.replace(at: offset, with: bytes.span.bytes)
    }

    func pixels(at offset: Int, count: Int) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        var span = bytes.mutableSpan
        var raw = span.mutableBytes
        display.videoMemory.copy(at: offset, count: count, into: &raw)
        return bytes
    }

    /// One line as the console would show it.
    func row(_ y: Int) -> [UInt8]? {
        guard let scanout = display.scanout else { return nil }
        var row = [UInt8](repeating: 0, count: scanout.width * 3)
        var span = row.mutableSpan
        scanout.rgbRow(y, into: &span)
        return row
    }
}
