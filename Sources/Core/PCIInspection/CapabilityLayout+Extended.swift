import PCI

extension CapabilityLayout {
    /// The capabilities from byte 256 on. PCI Code and ID Assignment Specification, section 3.
    static let extended: [CapabilityLayout] = [
        advancedErrorReporting,
        .init(0x02, "Virtual Channel"),
        .init(
            0x03, "Device Serial Number",
            summary: .init("SerialNumber", at: 4, width: 8, [.hexadecimal("Number", 0...63)])),
        .init(0x04, "Power Budgeting"),
        .init(0x05, "Root Complex Link"),
        .init(0x06, "Root Complex Internal Link"),
        .init(0x07, "Root Complex Event Collector"),
        .init(0x08, "Multi-Function Virtual Channel"),
        .init(0x09, "Virtual Channel"),
        .init(0x0a, "Root Complex Register Block"),
        .init(
            0x0b, "Vendor Specific Information",
            contents: .init(start: 8, lengthAt: 6, lengthWidth: 2, lengthShift: 4),
            summary: .init(
                "Header", at: 4, width: 4,
                [.hexadecimal("ID", 0...15), .number("Rev", 16...19), .number("Len", 20...31)])),
        .init(
            0x0d, "Access Control Services",
            [
                .init("ACSCap", at: 4, width: 2, accessControls),
                .init("ACSCtl", at: 6, width: 2, accessControls),
            ]),
        .init(
            0x0e, "Alternative Routing-ID Interpretation",
            [
                .init("ARICap", at: 4, width: 2, .flags("MFVC", "ACS") + [.number("NextFunction", 8...15)]),
                .init("ARICtl", at: 6, width: 2, .flags("MFVC", "ACS") + [.number("FunctionGroup", 4...6)]),
            ]),
        .init(
            0x0f, "Address Translation Service",
            [
                .init("ATSCap", at: 4, width: 2, [.number("InvalidateQueueDepth", 0...4), .flag("PageAligned", 5)]),
                .init("ATSCtl", at: 6, width: 2, [.flag("Enable", 15), .number("SmallestTranslationUnit", 0...4)]),
            ]),
        singleRootIOVirtualization,
        .init(0x11, "Multi-Root I/O Virtualization"),
        .init(0x12, "Multicast"),
        .init(
            0x13, "Page Request Interface",
            [
                .init("PRICtl", at: 4, width: 2, .flags("Enable", "Reset")),
                .init("PRISta", at: 6, width: 2, [.flag("RF", 0), .flag("UPRGI", 1), .flag("Stopped", 8)]),
                .init("Capacity", at: 8, width: 4, [.number("Requests", 0...31)]),
                .init("Allocation", at: 12, width: 4, [.number("Requests", 0...31)]),
            ]),
        resizableBAR,
        .init(0x16, "Dynamic Power Allocation"),
        .init(0x17, "Transaction Processing Hints"),
        .init(
            0x18, "Latency Tolerance Reporting",
            [
                .init("MaxSnoop", at: 4, width: 2, [.number("Value", 0...9), .number("Scale", 10...12)]),
                .init("MaxNoSnoop", at: 6, width: 2, [.number("Value", 0...9), .number("Scale", 10...12)]),
            ]),
        .init(0x19, "Secondary PCI Express"),
        .init(0x1a, "Protocol Multiplexing"),
        .init(
            0x1b, "Process Address Space ID",
            [
                .init("PASIDCap", at: 4, width: 2, [.flag("Exec", 1), .flag("Priv", 2), .number("MaxWidth", 8...12)]),
                .init("PASIDCtl", at: 6, width: 2, .flags("Enable", "Exec", "Priv")),
            ]),
        .init(0x1d, "Downstream Port Containment"),
        .init(0x1e, "L1 PM Substates"),
        .init(0x1f, "Precision Time Measurement"),
        .init(
            0x23, "Designated Vendor-Specific",
            contents: .init(start: 10, lengthAt: 6, lengthWidth: 2, lengthShift: 4),
            summary: .init(
                "Header1", at: 4, width: 4,
                [.hexadecimal("Vendor", 0...15), .number("Rev", 16...19), .number("Len", 20...31)]),
            [.init("Header2", at: 8, width: 2, [.hexadecimal("ID", 0...15)])]),
        .init(0x24, "Virtual Function Resizable BAR"),
        .init(0x25, "Data Link Feature"),
        .init(0x26, "Physical Layer 16.0 GT/s"),
        .init(0x27, "Lane Margining at the Receiver"),
        .init(0x28, "Hierarchy ID"),
        .init(0x29, "Native PCIe Enclosure Management"),
        .init(0x2a, "Physical Layer 32.0 GT/s"),
        .init(0x2b, "Alternate Protocol"),
        .init(0x2c, "System Firmware Intermediary"),
        .init(0x2d, "Shadow Functions"),
        .init(0x2e, "Data Object Exchange"),
        .init(0x2f, "Device 3"),
        .init(0x30, "Integrity and Data Encryption"),
    ]

    /// PCI Express Base Specification 5.0, section 7.8.4.
    private static let advancedErrorReporting = CapabilityLayout(
        0x01, "Advanced Error Reporting",
        [
            .init("UESta", at: 0x04, width: 4, uncorrectableErrors),
            .init("UEMsk", at: 0x08, width: 4, uncorrectableErrors),
            .init("UESvrt", at: 0x0c, width: 4, uncorrectableErrors),
            .init("CESta", at: 0x10, width: 4, correctableErrors),
            .init("CEMsk", at: 0x14, width: 4, correctableErrors),
            .init(
                "AERCap", at: 0x18, width: 4,
                [.number("FirstErrorPointer", 0...4)]
                    + .flags(
                        "ECRCGenCap", "ECRCGenEn", "ECRCChkCap", "ECRCChkEn", "MultHdrRecCap", "MultHdrRecEn",
                        "TLPPfxPres", from: 5)),
        ])

    private static let uncorrectableErrors: [RegisterField] =
        .flags("DLP", "SDES", from: 4)
        + .flags(
            "TLP", "FCP", "CmpltTO", "CmpltAbrt", "UnxCmplt", "RxOF", "MalfTLP", "ECRC", "UnsupReq", "ACSViol",
            "UncorrIntErr", "BlockedTLP", "AtomicOpBlocked", "TLPBlockedErr", from: 12)

    private static let correctableErrors: [RegisterField] =
        [.flag("RxErr", 0)] + .flags("BadTLP", "BadDLLP", "Rollover", from: 6)
        + .flags("Timeout", "AdvNonFatalErr", "CorrIntErr", "HeaderOF", from: 12)

    /// PCI Express Base Specification 5.0, section 7.7.8.
    private static let accessControls: [RegisterField] = .flags(
        "SrcValid", "TransBlk", "ReqRedir", "CmpltRedir", "UpstreamFwd", "EgressCtrl", "DirectTrans")

    /// PCI Express Base Specification 5.0, section 9.3.3.
    private static let singleRootIOVirtualization = CapabilityLayout(
        0x10, "Single Root I/O Virtualization",
        [
            .init(
                "IOVCap", at: 0x04, width: 4,
                .flags("Migration", "ARIHierarchy", "10BitTagReq") + [.number("IntMsgNum", 21...31)]),
            .init(
                "IOVCtl", at: 0x08, width: 2,
                .flags("Enable", "Migration", "Interrupt", "MSE", "ARIHierarchy", "10BitTagReq")),
            .init("IOVSta", at: 0x0a, width: 2, .flags("Migration")),
            .init("VFs", at: 0x0c, width: 4, [.number("Initial", 0...15), .number("Total", 16...31)]),
            .init("NumVFs", at: 0x10, width: 4, [.number("Number", 0...15), .number("FunctionLink", 16...23)]),
            .init("VFPlace", at: 0x14, width: 4, [.number("Offset", 0...15), .number("Stride", 16...31)]),
            .init("VFDevice", at: 0x1a, width: 2, [.hexadecimal("ID", 0...15)]),
            .init(
                "PageSizes", at: 0x1c, width: 8, [.hexadecimal("Supported", 0...31), .hexadecimal("System", 32...63)]),
        ])

    /// PCI Express Base Specification 5.0, section 7.8.6. The first of up to six pairs of registers says how many there
    /// are. Bit n of `Sizes` stands for 2^(n + 16) bytes.
    private static let resizableBAR = CapabilityLayout(
        0x15, "Resizable BAR",
        (0..<6).flatMap { (pair: Int) -> [RegisterLayout] in
            let isThere = RegisterLayout.Condition(
                offset: 8, width: 4, bits: 5...7, values: UInt64(pair) + 1...7)
            return [
                .init("BARCap\(pair)", at: 4 + 8 * pair, width: 4, if: [isThere], [.address("Sizes", 4...31)]),
                .init(
                    "BARCtl\(pair)", at: 8 + 8 * pair, width: 4, if: [isThere],
                    [.number("BAR", 0...2), .number("Count", 5...7), .power("Size", 8...13, times: 1 << 20)]),
            ]
        })
}
