import PCI

extension CapabilityLayout {
    /// The registers of an endpoint; those of ports' slots and of root complexes are left out.
    /// PCI Express Base Specification 5.0, section 7.5.3.
    static let express: CapabilityLayout = {
        let isVersion2 = RegisterLayout.Condition(offset: 2, width: 2, bits: 0...3, values: 2...15)
        // An integrated endpoint and an event collector, types 9 and 10, have no link.
        let hasLink = RegisterLayout.Condition(offset: 2, width: 2, bits: 4...7, values: 0...8)
        return CapabilityLayout(
            0x10, "Express",
            summary: .init(
                "Capabilities", at: 0x02, width: 2,
                [
                    .number("Version", 0...3), .choice("Type", 4...7, types), .flag("Slot", 8),
                    .number("IntMsgNum", 9...13),
                ]),
            [
                .init("DevCap", at: 0x04, width: 4, deviceCapabilities),
                .init("DevCtl", at: 0x08, width: 2, deviceControl),
                .init(
                    "DevSta", at: 0x0a, width: 2,
                    .flags("CorrErr", "NonFatalErr", "FatalErr", "UnsupReq", "AuxPwr", "TransPend")),
                .init("LnkCap", at: 0x0c, width: 4, if: [hasLink], linkCapabilities),
                .init("LnkCtl", at: 0x10, width: 2, if: [hasLink], linkControl),
                .init(
                    "LnkSta", at: 0x12, width: 2, if: [hasLink],
                    [.choice("Speed", 0...3, speeds), .number("Width", 4...9)]
                        + .flags("Train", "SlotClk", "DLActive", "BWMgmt", "ABWMgmt", from: 11)),
                .init("DevCap2", at: 0x24, width: 4, if: [isVersion2], deviceCapabilities2),
                .init("DevCtl2", at: 0x28, width: 2, if: [isVersion2], deviceControl2),
                .init(
                    "LnkCap2", at: 0x2c, width: 4, if: [isVersion2, hasLink],
                    .flags(
                        "2.5GT/s", "5GT/s", "8GT/s", "16GT/s", "32GT/s", "64GT/s", "", "Crosslink", from: 1)),
                .init(
                    "LnkCtl2", at: 0x30, width: 2, if: [isVersion2, hasLink],
                    [.choice("TargetSpeed", 0...3, speeds)] + .flags("EnterCompliance", "SpeedDis", from: 4)),
                .init(
                    "LnkSta2", at: 0x32, width: 2, if: [isVersion2, hasLink],
                    [.choice("DeEmphasis", 0...0, ["-6dB", "-3.5dB"])]
                        + .flags(
                            "EqualizationComplete", "EqualizationPhase1", "EqualizationPhase2", "EqualizationPhase3",
                            "LinkEqualizationRequest", from: 1)),
            ])
    }()

    private static let types = [
        "Endpoint", "LegacyEndpoint", "reserved(2)", "reserved(3)", "RootPort", "UpstreamPort", "DownstreamPort",
        "PCIe-to-PCI-Bridge", "PCI-to-PCIe-Bridge", "RootComplexIntegratedEndpoint", "RootComplexEventCollector",
    ]

    private static let speeds = ["unknown", "2.5GT/s", "5GT/s", "8GT/s", "16GT/s", "32GT/s", "64GT/s"]
    private static let acceptableL0s = ["<64ns", "<128ns", "<256ns", "<512ns", "<1us", "<2us", "<4us", "unlimited"]
    private static let acceptableL1 = ["<1us", "<2us", "<4us", "<8us", "<16us", "<32us", "<64us", "unlimited"]
    private static let exitL0s = ["<64ns", "<128ns", "<256ns", "<512ns", "<1us", "<2us", "<4us", ">4us"]
    private static let exitL1 = ["<1us", "<2us", "<4us", "<8us", "<16us", "<32us", "<64us", ">64us"]

    private static let deviceCapabilities: [RegisterField] = [
        .power("MaxPayload", 0...2, times: 128), .number("PhantFuncBits", 3...4), .flag("ExtTag", 5),
        .choice("LatencyL0s", 6...8, acceptableL0s), .choice("LatencyL1", 9...11, acceptableL1), .flag("RBE", 15),
        .flag("FLReset", 28),
    ]

    private static let deviceControl: [RegisterField] =
        .flags("CorrErr", "NonFatalErr", "FatalErr", "UnsupReq", "RlxdOrd")
        + .flags(
            "ExtTag", "PhantFunc", "AuxPwr", "NoSnoop", from: 8) + [
            .power("MaxPayload", 5...7, times: 128), .power("MaxReadReq", 12...14, times: 128),
        ]

    private static let linkCapabilities: [RegisterField] =
        [
            .number("Port", 24...31), .choice("Speed", 0...3, speeds), .number("Width", 4...9),
            .choice("ASPM", 10...11, ["none", "L0s", "L1", "L0s,L1"]), .choice("ExitLatencyL0s", 12...14, exitL0s),
            .choice("ExitLatencyL1", 15...17, exitL1),
        ] + .flags("ClockPM", "Surprise", "LLActRep", "BwNot", "ASPMOptComp", from: 18)

    private static let linkControl: [RegisterField] =
        [
            .choice("ASPM", 0...1, ["disabled", "L0s", "L1", "L0s,L1"]),
            .choice("RCB", 3...3, ["64bytes", "128bytes"]),
        ] + .flags("Disabled", "", "CommClk", "ExtSynch", "ClockPM", "AutWidDis", "BWInt", "AutBWInt", from: 4)

    private static let deviceCapabilities2: [RegisterField] =
        [
            .choice(
                "CompletionTimeout", 0...3,
                [
                    "unsupported", "A", "B", "AB", "reserved(4)", "reserved(5)", "BC", "ABC", "reserved(8)",
                    "reserved(9)", "reserved(10)", "reserved(11)", "reserved(12)", "reserved(13)", "BCD", "ABCD",
                ])
        ]
        + .flags(
            "TimeoutDis", "ARIFwd", "AtomicOpsRouting", "32bitAtomics", "64bitAtomics", "128bitCAS", "NROPrPrP", "LTR",
            from: 4) + .flags("10BitTagComp", "10BitTagReq", from: 16) + [
            .choice("OBFF", 18...19, ["none", "message", "WAKE#", "message,WAKE#"]), .flag("ExtFmt", 20),
            .flag("EETLPPrefix", 21), .flag("FRS", 31),
        ]

    private static let deviceControl2: [RegisterField] =
        [.number("CompletionTimeout", 0...3)]
        + .flags("TimeoutDis", "ARIFwd", "AtomicOpsReq", "AtomicEgressBlock", "IDOReq", "IDOCompl", "LTR", from: 4)
        + [
            .flag("10BitTagReq", 12), .choice("OBFF", 13...14, ["disabled", "messageA", "messageB", "WAKE#"]),
            .flag("EETLPPrefixBlk", 15),
        ]
}
