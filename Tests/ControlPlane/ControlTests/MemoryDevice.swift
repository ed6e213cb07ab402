import Device
import Linux
import PCI

/// A device with a number for registers, and with memory of its own.
final class MemoryDevice: Device, MemoryKeepingDevice {
    struct State: Codable { var value: Int }

    static let type = DeviceType(name: "memory", summary: "Memory.")
    static let size = 10 << 20

    let identity = PCIIdentity(vendor: 0x1234, device: 0x567a, class: .unclassified)
    let bars = [BAR.memory(0, size: 4096)]
    let memory: [MappedBytes]
    var value = 0

    init(options: DeviceOptions, host: Host) throws {
        memory = [try MemoryFile(name: "own", size: Self.size)]
    }

    func fill(_ byte: UInt8) {
        memory[0].replace(at: 0, with: [UInt8](repeating: byte, count: Self.size).span.bytes)
    }

    /// The first byte of each mebibyte.
    var bytes: [UInt8] { stride(from: 0, to: Self.size, by: 1 << 20).map { contents(of: memory[0], at: $0) } }

    private func contents(of file: MappedBytes, at offset: Int) -> UInt8 {
        UInt8(truncatingIfNeeded: file.number(at: offset) ?? 0)
    }

    func read(_ bar: Int, at offset: UInt64, width: AccessWidth) -> UInt64 { 0 }
    func write(_ bar: Int, at offset: UInt64, width: AccessWidth, value: UInt64) {}
    func reset() {}
    var state: State { State(value: value) }
    func restore(_ state: State) { value = state.value }
}
