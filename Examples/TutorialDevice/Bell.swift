import Device
import PCI

/// A bell: a guest rings it, and it interrupts until somebody has asked how often it rang.
public final class Bell: Device {
    public static let type = DeviceType(name: "bell", summary: "A bell that interrupts when it is rung.")

    public let identity = PCIIdentity(vendor: 0x1234, device: 0xbe11, class: .unclassified)
    public let bars: [BAR] = [.memory(0, size: 4096)]
    public let interruptPin: InterruptPin? = .a

    private enum Register { case ring, count }

    private static let registers: RegisterMap<Register> = [
        .init(.ring, at: 0, width: .dword, access: .writeOnly),
        .init(.count, at: 4, width: .dword, access: .readOnly),
    ]

    private let host: Host
    private var count: UInt32 = 0 {
        didSet { host.interrupts.setINTx(count > 0) }
    }

    public init(options: DeviceOptions, host: Host) {
        self.host = host
    }

    public func write(_ bar: Int, at offset: UInt64, width: AccessWidth, value: UInt64) {
        Self.registers.write(at: offset, width: width, value: value) { register, _ in
            if register == .ring { count &+= 1 }
        }
    }

    public func read(_ bar: Int, at offset: UInt64, width: AccessWidth) -> UInt64 {
        Self.registers.read(at: offset, width: width) { register in
            guard register == .count else { return 0 }
            defer { count = 0 }
            return UInt64(count)
        }
    }

    public func reset() {
        count = 0
    }

    public struct State: Codable, Sendable {
        var count: UInt32
    }

    public var state: State { State(count: count) }

    public func restore(_ state: State) throws(StateError) {
        count = state.count
    }
}
