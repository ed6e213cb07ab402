/// The PCI Express capability, version 2, with function-level reset.
/// PCI Express Base Specification, section 7.5.3.
///
/// The function calls itself an Endpoint, with a link of the least width and speed. Behind a root port that is
/// what it must be. Directly on the root bus the specification asks for a Root Complex Integrated Endpoint without link
/// registers; but a function doesn't know where it will be plugged in. QEMU rewrites an Endpoint there (and the
/// other way round), and Linux leaves the link of an Endpoint alone when no port is above it, so this works in both.
enum PCIExpress {
    static let id: UInt8 = 0x10
    static let length = 60

    static func registers(at base: Int) -> [ConfigurationSpace.Register] {
        [
            // Version 2, Endpoint, no interrupt message number of its own.
            .init("PCI Express Capabilities", at: base + 0x02, .word, reset: 0x0002),
            // 128-byte payloads, 8-bit tags (bit 5), role-based error reporting (15, always set), function-level reset
            // (28). L0s and L1 latencies are left at their least: there are no such states.
            .init("Device Capabilities", at: base + 0x04, .dword, reset: 1 << 28 | 1 << 15 | 1 << 5),
            // Error reporting (0-3), relaxed ordering (4), extended tags (8), no snoop (11), read request size (14:12,
            // 512 bytes after reset). The payload size (7:5) can't be but 128 bytes. Bit 15 initiates the reset.
            .init(
                "Device Control", at: base + 0x08, .word, reset: 2 << 12 | 1 << 11 | 1 << 4,
                writable: 7 << 12 | 1 << 11 | 1 << 8 | 0x1f, resetting: 1 << 15),
            // No errors to detect, and no transactions that outlive the access which caused them.
            .init("Device Status", at: base + 0x0a, .word),
            // 2.5 GT/s (3:0), x1 (9:4), no link power states, ASPM optionality compliance (22).
            .init("Link Capabilities", at: base + 0x0c, .dword, reset: 1 << 22 | 1 << 4 | 1),
            // ASPM (1:0), read completion boundary (3), common clock (6), extended synch (7). There is no link, so
            // they have no effect.
            .init("Link Control", at: base + 0x10, .word, writable: 0xcb),
            .init("Link Status", at: base + 0x12, .word, reset: 1 << 4 | 1),
            // Slot and root registers, which an Endpoint doesn't have.
            .init("Slot Capabilities", at: base + 0x14, .dword),
            .init("Slot Control", at: base + 0x18, .word),
            .init("Slot Status", at: base + 0x1a, .word),
            .init("Root Control", at: base + 0x1c, .word),
            .init("Root Capabilities", at: base + 0x1e, .word),
            .init("Root Status", at: base + 0x20, .dword),
            // Completion timeouts can be switched off (bit 4), which whoever makes requests must allow.
            .init("Device Capabilities 2", at: base + 0x24, .dword, reset: 1 << 4),
            .init("Device Control 2", at: base + 0x28, .word, writable: 1 << 4),
            .init("Device Status 2", at: base + 0x2a, .word),
            // Supported speeds (7:1): 2.5 GT/s.
            .init("Link Capabilities 2", at: base + 0x2c, .dword, reset: 1 << 1),
            // Target speed (3:0): the only one there is, hardwired.
            .init("Link Control 2", at: base + 0x30, .word, reset: 1),
            .init("Link Status 2", at: base + 0x32, .word),
            .init("Slot Capabilities 2", at: base + 0x34, .dword),
            .init("Slot Control 2", at: base + 0x38, .word),
            .init("Slot Status 2", at: base + 0x3a, .word),
        ]
    }
}
