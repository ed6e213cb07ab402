import Device
import PCI

extension BochsDisplay {
    /// The EDID's window at the beginning of BAR 2, in bytes.
    static let edidSize: UInt64 = 0x400

    /// BAR 2 behind the EDID: VGA ports 0x3c0 to 0x3df at 0x400, the DISPI registers at 0x500, extended
    /// registers at 0x600. QEMU, docs/specs/standard-vga.rst.
    static let registers = RegisterMap<Register>(
        [
            .init(.attribute, at: port(0x3c0), width: .byte),
            .init(.miscellaneous, at: port(0x3c2), width: .byte, access: .writeOnly),
            .init(.pixelMask, at: port(0x3c6), width: .byte),
            .init(.dacReadIndex, at: port(0x3c7), width: .byte, access: .writeOnly),
            .init(.dacState, at: port(0x3c7), width: .byte, access: .readOnly),
            .init(.dacWriteIndex, at: port(0x3c8), width: .byte),
            .init(.dacData, at: port(0x3c9), width: .byte),
            .init(.miscellaneous, at: port(0x3cc), width: .byte, access: .readOnly),
            .init(.inputStatus, at: port(0x3da), width: .byte, access: .readOnly),
        ]
            + DISPI.Register.allCases.map {
                .init(.dispi($0), at: 0x500 + UInt64($0.rawValue) * 2, width: .word, access: $0.access)
            } + [
                .init(.extensionSize, at: 0x600, width: .dword, access: .readOnly),
                .init(.byteOrder, at: 0x604, width: .dword),
            ])

    /// What the bits say, by the names of Bochs and of the VGA manual.
    static func fields(_ register: Register) -> [RegisterField] {
        switch register {
        case .dispi(.enable):
            .flags("enabled", "get-capabilities") + .flags("8bit-dac", "linear-framebuffer", "no-clear", from: 5)
        case .dispi(.id): [.number("version", 0...3)]
        case .miscellaneous: [.flag("color", 0), .flag("ram", 1), .number("clock", 2...3)]
        case .inputStatus: [.flag("display-disabled", 0), .flag("vertical-retrace", 3)]
        default: []
        }
    }

    /// In bytes, the extended registers' own size included.
    static let extensionSize: UInt64 = 8

    private static func port(_ number: UInt64) -> UInt64 { 0x400 + number - 0x3c0 }

    enum Register: Equatable {
        // VGA. IBM VGA XGA Technical Reference Manual, 1992, section 2.
        case attribute, miscellaneous, pixelMask, dacReadIndex, dacState, dacWriteIndex, dacData, inputStatus
        case dispi(DISPI.Register)
        // Extended.
        case extensionSize, byteOrder
    }

    /// What the byte order register reads and takes.
    enum ByteOrder: UInt32 {
        case little = 0x1e1e_1e1e
        case big = 0xbebe_bebe
    }
}
