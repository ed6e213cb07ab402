import Device
import PCI

extension Exerciser {
    /// BAR 0.
    static let registers: RegisterMap<Register> = [
        .init(.identification, at: 0x00, width: .dword, access: .readOnly),
        .init(.scratch, at: 0x04, width: .dword),
        .init(.wideScratch, at: 0x08, width: .qword),

        .init(.raise, at: 0x10, width: .dword, access: .writeOnly),
        .init(.setCause, at: 0x14, width: .dword, access: .writeOnly),
        .init(.cause, at: 0x18, width: .dword, access: .writeOneToClear),

        .init(.source, at: 0x20, width: .qword),
        .init(.destination, at: 0x28, width: .qword),
        .init(.length, at: 0x30, width: .dword),
        .init(.pattern, at: 0x34, width: .byte),
        .init(.command, at: 0x38, width: .dword, access: .writeOnly),
        .init(.status, at: 0x3c, width: .dword, access: .readOnly),
        .init(.faultAddress, at: 0x40, width: .qword, access: .readOnly),

        .init(.reads, at: 0x60, width: .qword, access: .readOnly),
        .init(.writes, at: 0x68, width: .qword, access: .readOnly),
        .init(.commands, at: 0x70, width: .qword, access: .readOnly),
        .init(.rings, at: 0x78, width: .qword, access: .readOnly),
        // The doorbell is at 0x80.
        .init(.tail, at: 0x90, width: .qword, access: .readOnly),
    ]

    /// What those say that hold words.
    static func fields(_ register: Register) -> [RegisterField] {
        switch register {
        case .identification: [.hexadecimal("device", 0...15), .number("version", 16...31)]
        case .command: [.choice("command", 0...31, ["reserved(0)", "load", "store", "copy", "fill"])]
        case .status:
            [
                .choice(
                    "status", 0...31,
                    [
                        "done", "unknown-command", "length-too-large", "not-mapped", "denied", "unreachable",
                        "invalid-range",
                    ])
            ]
        default: []
        }
    }

    /// BAR 1, in I/O space: some of the same registers.
    static let ports: RegisterMap<Register> = [
        .init(.identification, at: 0x0, width: .dword, access: .readOnly),
        .init(.scratch, at: 0x4, width: .dword),
        .init(.raise, at: 0x8, width: .dword, access: .writeOnly),
    ]

    /// The first page of BAR 2, which is trapped; the buffer comes behind it.
    static let bufferRegisters: RegisterMap<Register> = [
        .init(.bufferSize, at: 0x0, width: .dword, access: .readOnly),
        .init(.checksum, at: 0x4, width: .dword, access: .readOnly),
        // The doorbell that keeps its value is at 0x10.
    ]

    /// In bytes.
    static let bufferSize = 64 << 10
    /// Where it begins in BAR 2.
    static let bufferOffset = 4096
    /// Of both together.
    static let memorySize = bufferOffset + bufferSize
    /// The device ID, and the version of the registers above it.
    static let identification: UInt64 = 0x0001_11e9

    enum Register {
        case identification, scratch, wideScratch
        /// The number of a vector to send.
        case raise
        /// Ones set bits of the cause, by which the pin is asserted.
        case setCause
        case cause
        /// I/O virtual addresses.
        case source, destination
        /// In bytes.
        case length
        /// The byte that a fill writes.
        case pattern
        case command, status, faultAddress
        /// How often a register was read and written, a command given, and the doorbell rung.
        case reads, writes, commands, rings
        /// What was last written to the doorbell that keeps its value.
        case tail
        case bufferSize, checksum
    }
}
