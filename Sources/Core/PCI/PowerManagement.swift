/// The power management capability: D0 and D3hot, no PME.
/// PCI Bus Power Management Interface Specification 1.2, section 3.2.
enum PowerManagement {
    static let id: UInt8 = 0x01
    static let length = 8
    /// PMCSR, from the capability's start.
    static let control = 0x04
    static let stateMask: UInt16 = 0x3

    static func registers(at base: Int) -> [ConfigurationSpace.Register] {
        [
            // Version 3: revision 1.2 of the specification. No D1, no D2, no PME from any state.
            .init("Power Management Capabilities", at: base + 2, .word, reset: 0x0003),
            // No_Soft_Reset is 0: the way from D3hot to D0 is a reset (section 5.4.1). The bit would promise the guest
            // that a sleep (S3) leaves the registers alone, but the reset of the machine that ends one takes them.
            // Writes of D1 and D2 complete and change nothing (section 3.2.4).
            .init(
                "Power Management Control/Status", at: base + control, .word,
                writable: UInt32(stateMask),
                choice: .init(
                    mask: UInt32(stateMask),
                    values: [UInt32(PowerState.d0.rawValue), UInt32(PowerState.d3hot.rawValue)]),
                changes: .powerState),
            .init("Power Management Data", at: base + 6, .word),
        ]
    }
}

/// The states that a function can be put in. The way back to ``d0`` resets it.
public enum PowerState: UInt8, Sendable {
    case d0 = 0
    /// Answers nothing but configuration accesses, and sends no interrupts.
    case d3hot = 3
}

extension ConfigurationSpace {
    /// Always D0 without ``Capability/powerManagement``.
    public var powerState: PowerState {
        guard let powerManagement else { return .d0 }
        let control = load(powerManagement + PowerManagement.control, as: UInt16.self)
        return control & PowerManagement.stateMask == 0 ? .d0 : .d3hot
    }
}
