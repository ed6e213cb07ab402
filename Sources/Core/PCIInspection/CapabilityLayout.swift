import PCI

/// A capability as data: its registers, and where the bytes stand that only its maker understands.
struct CapabilityLayout: Sendable {
    let id: Int
    let name: String
    /// The register that tells most, which is shown beside the name.
    let summary: RegisterLayout?
    let registers: [RegisterLayout]
    let contents: Contents?
    /// Whose device it must be in; nil for anybody's.
    let vendor: UInt16?

    /// Bytes from `start` to the length that the capability says it has.
    struct Contents: Sendable {
        let start: Int
        let lengthAt: Int
        let lengthWidth: Int
        /// How many bits there are below the length.
        var lengthShift: UInt64 = 0
    }

    init(
        _ id: Int, _ name: String, vendor: UInt16? = nil, contents: Contents? = nil, summary: RegisterLayout? = nil,
        _ registers: [RegisterLayout] = []
    ) {
        self.id = id
        self.name = name
        self.summary = summary
        self.registers = registers
        self.contents = contents
        self.vendor = vendor
    }
}

extension CapabilityLayout {
    /// The capabilities of the first 256 bytes; those of one vendor stand before the same for all.
    /// PCI Code and ID Assignment Specification, section 2.
    static let standard: [CapabilityLayout] = [
        powerManagement,
        .init(0x02, "AGP"),
        .init(0x03, "Vital Product Data"),
        .init(0x04, "Slot ID"),
        msi,
        .init(0x06, "CompactPCI hot-swap"),
        .init(0x07, "PCI-X"),
        .init(0x08, "HyperTransport"),
        virtio,
        .init(0x09, "Vendor Specific Information", contents: .init(start: 3, lengthAt: 2, lengthWidth: 1)),
        .init(0x0a, "Debug port"),
        .init(0x0b, "CompactPCI central resource control"),
        .init(0x0c, "Hot-plug capable"),
        .init(
            0x0d, "Subsystem",
            summary: .init(
                "Subsystem", at: 4, width: 4, [.hexadecimal("Vendor", 0...15), .hexadecimal("Device", 16...31)])),
        .init(0x0e, "AGP3"),
        .init(0x0f, "Secure device"),
        express,
        msix,
        .init(0x12, "SATA HBA"),
        advancedFeatures,
        .init(0x14, "Enhanced Allocation"),
        .init(0x15, "Flattening Portal Bridge"),
    ]

    /// PCI Bus Power Management Interface Specification 1.2, section 3.2.
    private static let powerManagement = CapabilityLayout(
        0x01, "Power Management",
        summary: .init(
            "Capabilities", at: 2, width: 2,
            [
                .number("Version", 0...2), .flag("PMEClk", 3), .flag("DSI", 5), .flag("D1", 9), .flag("D2", 10),
                .choice("AuxCurrent", 6...8, ["0mA", "55mA", "100mA", "160mA", "220mA", "270mA", "320mA", "375mA"]),
            ] + .flags("PMED0", "PMED1", "PMED2", "PMED3hot", "PMED3cold", from: 11)),
        [
            .init(
                "Status", at: 4, width: 2,
                [
                    .choice("State", 0...1, ["D0", "D1", "D2", "D3hot"]), .flag("NoSoftRst", 3), .flag("PMEEnable", 8),
                    .number("DSel", 9...12), .number("DScale", 13...14), .flag("PME", 15),
                ])
        ])

    /// PCI Local Bus Specification 3.0, section 6.8.1. What follows the address stands 4 bytes further on where that
    /// has 64 bits.
    private static let msi: CapabilityLayout = {
        func control(_ bit: Int, _ value: UInt64) -> RegisterLayout.Condition {
            .init(offset: 2, width: 2, bits: bit...bit, values: value...value)
        }
        let is32Bit = control(7, 0)
        let is64Bit = control(7, 1)
        let hasMask = control(8, 1)
        return CapabilityLayout(
            0x05, "MSI",
            summary: .init(
                "Control", at: 2, width: 2,
                [
                    .flag("Enable", 0), .power("Count", 1...3), .power("Allocated", 4...6), .flag("Maskable", 8),
                    .flag("64bit", 7),
                ]),
            [
                .init("Message", at: 4, width: 4, if: [is32Bit], [.address("Address", 2...31)]),
                .init("Message", at: 4, width: 8, if: [is64Bit], [.address("Address", 2...63)]),
                .init("MessageData", at: 8, width: 2, if: [is32Bit], [.hexadecimal("Value", 0...15)]),
                .init("MessageData", at: 12, width: 2, if: [is64Bit], [.hexadecimal("Value", 0...15)]),
                .init("Masked", at: 12, width: 4, if: [is32Bit, hasMask], [.hexadecimal("Bits", 0...31)]),
                .init("Masked", at: 16, width: 4, if: [is64Bit, hasMask], [.hexadecimal("Bits", 0...31)]),
                .init("Pending", at: 16, width: 4, if: [is32Bit, hasMask], [.hexadecimal("Bits", 0...31)]),
                .init("Pending", at: 20, width: 4, if: [is64Bit, hasMask], [.hexadecimal("Bits", 0...31)]),
            ])
    }()

    /// PCI Local Bus Specification 3.0, section 6.8.2.
    private static let msix = CapabilityLayout(
        0x11, "MSI-X",
        summary: .init(
            "Control", at: 2, width: 2, [.flag("Enable", 15), .number("Count", 0...10, plus: 1), .flag("Masked", 14)]),
        [
            .init("Vector table", at: 4, width: 4, [.number("BAR", 0...2), .address("Offset", 3...31)]),
            .init("PBA", at: 8, width: 4, [.number("BAR", 0...2), .address("Offset", 3...31)]),
        ])

    /// Virtual I/O Device 1.2, section 4.1.4.
    private static let virtio = CapabilityLayout(
        0x09, "Vendor Specific Information: VirtIO", vendor: 0x1af4,
        summary: .init(
            "Structure", at: 3, width: 1,
            [
                .choice(
                    "Type", 0...7,
                    [
                        "reserved(0)", "CommonCfg", "Notify", "ISR", "DeviceCfg", "PCICfg", "reserved(6)",
                        "reserved(7)", "SharedMemory", "Vendor",
                    ])
            ]),
        [
            .init(
                "Place", at: 4, width: 8,
                [.number("BAR", 0...7), .number("ID", 8...15), .hexadecimal("Offset", 32...63)]),
            .init("Length", at: 12, width: 4, [.hexadecimal("Size", 0...31)]),
            .init(
                "Notification", at: 16, width: 4, if: [.init(offset: 3, width: 1, bits: 0...7, values: 2...2)],
                [.number("Multiplier", 0...31)]),
        ])

    /// PCI-SIG ECN "Advanced Capabilities for Conventional PCI".
    private static let advancedFeatures = CapabilityLayout(
        0x13, "PCI Advanced Features", summary: .init("AFCap", at: 3, width: 1, .flags("TP", "FLR")),
        [.init("AFStatus", at: 5, width: 1, .flags("TP"))])
}
