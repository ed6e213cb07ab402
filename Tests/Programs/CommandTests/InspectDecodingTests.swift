import FakeGuest
import JSON
import Linux
import Programs
import Testing
import VFIO

/// Devices that nobody has built: each register as `lspci -vv` reads it.
@Suite struct InspectDecodingTests {
    let scratch: Scratch

    init() throws {
        scratch = try Scratch()
    }

    /// The lines about a device, without what they are indented by.
    private func lines(_ device: FakeDevice, _ options: String...) throws -> [String] {
        let server = try FakeServer(device, at: scratch.path("socket"))
        defer { server.end() }
        let outcome = try Command.run(["inspect", server.path] + options)
        try #require(outcome.status == 0, "\(outcome.errors)")
        return outcome.output.split(separator: "\n").map { String($0.drop { $0 == "\t" }) }
    }

    private func lines(_ configuration: FakeConfiguration) throws -> [String] {
        try lines(FakeDevice(configuration: configuration.bytes))
    }

    private func json(_ device: FakeDevice) throws -> JSON {
        let server = try FakeServer(device, at: scratch.path("socket"))
        defer { server.end() }
        return try JSON(parsing: Command.run("inspect", server.path, "--json").output)
    }

    // MARK: The header

    @Test func theHeaderIsDecoded() throws {
        var configuration = FakeConfiguration()
        configuration.store(UInt16(0x0507), at: 0x04)
        configuration.store(UInt16(0xfaa8), at: 0x06)
        configuration.store(UInt32(0x0300_0103), at: 0x08)
        configuration.store(UInt16(0x4010), at: 0x0c)
        configuration.store(UInt32(0x1100_1af4), at: 0x2c)
        configuration.store(UInt16(0x030a), at: 0x3c)
        let lines = try lines(configuration)
        #expect(
            lines[0]
                == "\(scratch.path("socket")) VGA compatible controller [0300]: Device [1234:5678] (rev 03, prog-if 01)"
        )
        #expect(lines.contains("Subsystem: Device [1af4:1100]"))
        #expect(
            lines.contains(
                "Control: I/O+ Mem+ BusMaster+ SpecCycle- MemWINV- VGASnoop- ParErr- Stepping- SERR+ FastB2B- DisINTx+")
        )
        #expect(
            lines.contains(
                "Status: Cap- 66MHz+ UDF- FastB2B+ ParErr- DEVSEL=medium >TAbort+ <TAbort+ <MAbort+ >SERR+ <PERR+ INTx+"
            ))
        #expect(lines.contains("Timing: Latency=64 CacheLineSize=64"))
        #expect(lines.contains("Interrupt: pin C routed to IRQ 10"))
    }

    @Test func anUnknownClassIsShownByItsNumber() throws {
        var configuration = FakeConfiguration()
        configuration.store(UInt32(0x0377_0000), at: 0x08)
        #expect(try lines(configuration)[0].contains(" Display controller [0377]: "))
        configuration.store(UInt32(0x7777_0000), at: 0x08)
        #expect(try lines(configuration)[0].contains(" Unknown class [7777]: "))
    }

    // MARK: Regions

    @Test func regionsAreShownWithTheirAddresses() throws {
        var configuration = FakeConfiguration(size: 4096)
        configuration.store(UInt16(0x0002), at: 0x04)
        configuration.store(UInt64(0x12_4000_000c), at: 0x10)
        configuration.store(UInt32(0xc001), at: 0x18)
        configuration.store(UInt32(0xfebe_0001), at: 0x30)
        let device = FakeDevice(
            info: DeviceInfo(flags: [.pci], regionCount: 10, irqCount: 5),
            regions: [
                RegionInfo(
                    index: 0, flags: [.read, .write, .mmap], length: 16 << 20, offset: 0x1000,
                    sparseAreas: [.init(offset: 0, size: 4096), .init(offset: 8192, size: .max)]),
                RegionInfo(index: 2, flags: [.read, .write], length: 32),
                RegionInfo(index: 6, flags: .read, length: 65536),
                RegionInfo(index: 8, flags: [.read, .write], length: 0xc0000),
                RegionInfo(index: 9, flags: .read, length: .max, specific: .init(type: 0x8000_8086, subtype: 1)),
            ],
            interrupts: [IRQInfo(index: 2, flags: [.eventfd, .noResize], count: 2048)],
            configuration: configuration.bytes)
        let text = try lines(device).joined(separator: "\n")
        #expect(
            text.contains(
                """
                Region 0: Memory at 1240000000 (64-bit, prefetchable) [size=16M]
                Access: read+ write+ mmap+ Offset=0x1000
                Mmap: Offset=0x0 [size=4K]
                Mmap: Offset=0x2000 [size=18446744073709551615]
                Region 2: I/O ports at 0000c000 [disabled] [size=32]
                Access: read+ write+ mmap- Offset=0x0
                Expansion ROM at febe0000 [size=64K]
                Access: read+ write- mmap- Offset=0x0
                """))
        #expect(
            text.contains(
                """
                Region 8: VGA [size=768K]
                Access: read+ write+ mmap- Offset=0x0
                Region 9: Device-specific [size=18446744073709551615]
                Access: read+ write- mmap- Offset=0x0
                Type: 0x80008086 Subtype: 0x1
                """))
        #expect(text.contains("\nInterrupts msix: Count=2048 eventfd+ maskable- automasked- noresize+"))
        let regions = try #require(json(device)["regions"])
        #expect(regions[9]?["size"]?.uint64 == .max)
        #expect(regions[9]?["type"] == ["type": 0x8000_8086, "subtype": 1])
        #expect(
            regions[0]?["bar"] == [
                "space": "memory", "bits": 64, "prefetchable": true, "address": 0x12_4000_0000, "enabled": true,
            ])
        #expect(regions[2]?["bar"]?["enabled"] == false)
        #expect(regions[0]?["mmap"]?[0] == ["offset": 0, "size": 4096])
    }

    @Test func doorbellsAreShownWithWhatTheyMatch() throws {
        let (any, one) = (try EventFD(), try EventFD())
        let doorbells = RegionIOFDs(
            index: 0,
            entries: [
                .init(offset: 0x10, size: 4, descriptorIndex: 0, kind: .ioeventfd),
                .init(offset: 0x20, size: 0, descriptorIndex: 1, kind: .ioeventfd, flags: 1, datamatch: 0xfee1),
            ])
        var device = FakeDevice(regions: [RegionInfo(index: 0, flags: [.read, .write], length: 4096)])
        device = device.answering(.deviceGetRegionIOFDs) { message in
            let size = message.field(UInt32.self, at: 0) ?? 0
            let payload = wire { doorbells.write(into: &$0, argumentSize: size).count }
            return .reply(
                payload,
                descriptors: payload.count > RegionIOFDs.size ? [any.descriptor.raw, one.descriptor.raw] : [])
        }
        let text = try lines(device)
        #expect(text.contains("Doorbell: Offset=0x10 Width=4"))
        #expect(text.contains("Doorbell: Offset=0x20 Width=any Match=0xfee1"))
        #expect(try json(device)["regions"]?[0]?["doorbells"]?[1]?["match"] == 0xfee1)
    }

    @Test func aDeviceThatIsNoPCIDeviceIsShownWithoutConfigurationSpace() throws {
        let device = FakeDevice(
            info: DeviceInfo(flags: .reset, regionCount: 8, irqCount: 0),
            regions: [RegionInfo(index: 0, flags: .read, length: 4096)], configuration: FakeConfiguration().bytes)
        let text = try lines(device)
        #expect(text.contains("Device: pci- reset+ Regions=8 Interrupts=0"))
        #expect(text.contains("Region 0: [size=4K]"))
        #expect(!text.contains { $0.hasPrefix("Subsystem") })
        #expect(try json(device)["regions"]?[7]?["name"] == "region7")
    }

    @Test func configurationSpaceIsReadInPiecesThatTheServerTakes() throws {
        var configuration = FakeConfiguration(size: 4096)
        configuration.store(UInt8(0xab), at: 4095)
        var device = FakeDevice(configuration: configuration.bytes)
        device.version = wire(UInt16(0), UInt16(0)) + Array(#"{"capabilities":{"max_data_xfer_size":100}}"#.utf8) + [0]
        device.script = { message in
            guard message.header.command == VFIO.Command.regionRead.rawValue else { return nil }
            return message.field(UInt32.self, at: 12) ?? 0 > 100 ? .refusal(.invalidArgument) : nil
        }
        #expect(try lines(device, "--hex").last == "ff0:" + String(repeating: " 00", count: 15) + " ab")
    }

    // MARK: Capabilities

    @Test func standardCapabilitiesAreDecoded() throws {
        var configuration = FakeConfiguration()
        configuration.add(0x01, at: 0x40, UInt16(0xffc3), UInt16(0x8103))
        configuration.add(
            0x05, at: 0x48, UInt16(0x0127), UInt32(0xfee0_1000), UInt16(0x4041), UInt16(0), UInt32(5), UInt32(6))
        configuration.add(0x11, at: 0x60, UInt16(0xc7ff), UInt32(0x2004), UInt32(0x3005))
        configuration.add(0x09, at: 0x70, UInt8(6), UInt8(0xde), UInt8(0xad), UInt8(0xbe))
        configuration.add(0x0d, at: 0x78, UInt16(0), UInt16(0x8086), UInt16(0x1234))
        configuration.add(0x13, at: 0x80, UInt8(6), UInt8(3), UInt8(0), UInt8(1))
        let text = try lines(configuration).joined(separator: "\n")
        #expect(
            text.contains(
                """
                Capabilities: [40] Power Management: Version=3 PMEClk- DSI- D1+ D2+ AuxCurrent=375mA PMED0+ PMED1+ \
                PMED2+ PMED3hot+ PMED3cold+
                Status: State=D3hot NoSoftRst- PMEEnable+ DSel=0 DScale=0 PME+
                Capabilities: [48] MSI: Enable+ Count=8 Allocated=4 Maskable+ 64bit-
                Message: Address=fee01000
                MessageData: Value=4041
                Masked: Bits=00000005
                Pending: Bits=00000006
                Capabilities: [60] MSI-X: Enable+ Count=2048 Masked+
                Vector table: BAR=4 Offset=00002000
                PBA: BAR=5 Offset=00003000
                Capabilities: [70] Vendor Specific Information
                Bytes: de ad be
                Capabilities: [78] Subsystem: Vendor=8086 Device=1234
                Capabilities: [80] PCI Advanced Features: TP+ FLR+
                AFStatus: TP+
                """))
    }

    @Test func thePCIExpressCapabilityIsDecoded() throws {
        var configuration = FakeConfiguration()
        configuration.add(
            0x10, at: 0x40, UInt16(0x0202), UInt32(0x1000_8fe2), UInt16(0x583f), UInt16(0x000f), UInt32(0x0074_dc83),
            UInt16(0x014b), UInt16(0x7083), UInt64(0), UInt64(0), UInt32(0x8d_0bbf), UInt16(0x6456),
            UInt16(0), UInt32(0x10e), UInt16(0x13), UInt16(3))
        let text = try lines(configuration).joined(separator: "\n")
        #expect(
            text.contains(
                """
                Capabilities: [40] Express: Version=2 Type=Endpoint Slot- IntMsgNum=1
                DevCap: MaxPayload=512 PhantFuncBits=0 ExtTag+ LatencyL0s=unlimited LatencyL1=unlimited RBE+ FLReset+
                DevCtl: CorrErr+ NonFatalErr+ FatalErr+ UnsupReq+ RlxdOrd+ ExtTag- PhantFunc- AuxPwr- NoSnoop+ \
                MaxPayload=256 MaxReadReq=4096
                DevSta: CorrErr+ NonFatalErr+ FatalErr+ UnsupReq+ AuxPwr- TransPend-
                LnkCap: Port=0 Speed=8GT/s Width=8 ASPM=L0s,L1 ExitLatencyL0s=<2us ExitLatencyL1=<2us ClockPM+ \
                Surprise- LLActRep+ BwNot+ ASPMOptComp+
                LnkCtl: ASPM=L0s,L1 RCB=128bytes Disabled- CommClk+ ExtSynch- ClockPM+ AutWidDis- BWInt- AutBWInt-
                LnkSta: Speed=8GT/s Width=8 Train- SlotClk+ DLActive+ BWMgmt+ ABWMgmt-
                DevCap2: CompletionTimeout=ABCD TimeoutDis+ ARIFwd+ AtomicOpsRouting- 32bitAtomics+ 64bitAtomics+ \
                128bitCAS+ NROPrPrP- LTR+ 10BitTagComp+ 10BitTagReq- OBFF=message,WAKE# ExtFmt- EETLPPrefix- FRS-
                DevCtl2: CompletionTimeout=6 TimeoutDis+ ARIFwd- AtomicOpsReq+ AtomicEgressBlock- IDOReq- IDOCompl- \
                LTR+ 10BitTagReq- OBFF=WAKE# EETLPPrefixBlk-
                LnkCap2: 2.5GT/s+ 5GT/s+ 8GT/s+ 16GT/s- 32GT/s- 64GT/s- Crosslink+
                LnkCtl2: TargetSpeed=8GT/s EnterCompliance+ SpeedDis-
                LnkSta2: DeEmphasis=-3.5dB EqualizationComplete+ EqualizationPhase1- EqualizationPhase2- \
                EqualizationPhase3- LinkEqualizationRequest-
                """))
    }

    /// Neither a link's registers nor those of version 2.
    @Test func registersThatACapabilityDoesNotHaveAreLeftOut() throws {
        var configuration = FakeConfiguration()
        configuration.add(0x10, at: 0x40, UInt16(0x0091), UInt32(0), UInt16(0), UInt16(0), UInt32.max, UInt16.max)
        let text = try lines(configuration)
        #expect(
            text.contains("Capabilities: [40] Express: Version=1 Type=RootComplexIntegratedEndpoint Slot- IntMsgNum=0"))
        #expect(!text.contains { $0.hasPrefix("Lnk") || $0.hasPrefix("DevCap2") })
    }

    @Test func virtioStructuresAreDecodedInItsOwnDevicesOnly() throws {
        var configuration = FakeConfiguration()
        configuration.add(
            0x09, at: 0x40, UInt8(20), UInt8(2), UInt8(4), UInt8(0), UInt16(0), UInt32(0x3000), UInt32(0x1000),
            UInt32(4))
        #expect(try lines(configuration).contains("Capabilities: [40] Vendor Specific Information"))
        configuration.store(UInt16(0x1af4), at: 0)
        let text = try lines(configuration).joined(separator: "\n")
        #expect(
            text.contains(
                """
                Capabilities: [40] Vendor Specific Information: VirtIO: Type=Notify
                Place: BAR=4 ID=0 Offset=00003000
                Length: Size=00001000
                Notification: Multiplier=4
                """))
    }

    @Test func extendedCapabilitiesAreDecoded() throws {
        var configuration = FakeConfiguration(size: 4096)
        configuration.addExtended(
            0x01, at: 0x100, UInt32(1 << 20), UInt32(1 << 14), UInt32(1 << 4), UInt32(1), UInt32(1 << 13), UInt32(0xa4))
        configuration.addExtended(0x03, at: 0x140, UInt64(0x0123_4567_89ab_cdef))
        configuration.addExtended(0x0b, at: 0x150, UInt32(0x00c2_1234), UInt32(0x0403_0201))
        configuration.addExtended(0x0e, at: 0x160, UInt16(0x0502), UInt16(0x0031))
        configuration.addExtended(
            0x15, at: 0x170, UInt32(0x3f0), UInt32(0x0000_0821), UInt32(0x10), UInt32(0x0000_0002))
        configuration.addExtended(
            0x10, at: 0x200, UInt32(2), UInt16(0x11), UInt16(0), UInt16(16), UInt16(16), UInt16(4), UInt16(0),
            UInt16(2), UInt16(1), UInt16(0), UInt16(0x10ca), UInt32(0x553), UInt32(1))
        configuration.addExtended(0x23, at: 0x300, UInt32(0x00c1_1e98), UInt16(8), UInt16(0xbeef))
        let text = try lines(configuration).joined(separator: "\n")
        let none =
            "DLP- SDES- TLP- FCP- CmpltTO- CmpltAbrt- UnxCmplt- RxOF- MalfTLP- ECRC- UnsupReq- ACSViol- "
            + "UncorrIntErr- BlockedTLP- AtomicOpBlocked- TLPBlockedErr-"
        #expect(
            text.contains(
                """
                Capabilities: [100 v1] Advanced Error Reporting
                UESta: \(none.replacing("UnsupReq-", with: "UnsupReq+"))
                UEMsk: \(none.replacing("CmpltTO-", with: "CmpltTO+"))
                UESvrt: \(none.replacing("DLP-", with: "DLP+"))
                CESta: RxErr+ BadTLP- BadDLLP- Rollover- Timeout- AdvNonFatalErr- CorrIntErr- HeaderOF-
                CEMsk: RxErr- BadTLP- BadDLLP- Rollover- Timeout- AdvNonFatalErr+ CorrIntErr- HeaderOF-
                AERCap: FirstErrorPointer=4 ECRCGenCap+ ECRCGenEn- ECRCChkCap+ ECRCChkEn- MultHdrRecCap- \
                MultHdrRecEn- TLPPfxPres-
                Capabilities: [140 v1] Device Serial Number: Number=0123456789abcdef
                Capabilities: [150 v1] Vendor Specific Information: ID=1234 Rev=2 Len=12
                Bytes: 01 02 03 04
                Capabilities: [160 v1] Alternative Routing-ID Interpretation
                ARICap: MFVC- ACS+ NextFunction=5
                ARICtl: MFVC+ ACS- FunctionGroup=3
                Capabilities: [170 v1] Resizable BAR
                BARCap0: Sizes=000003f0
                BARCtl0: BAR=1 Count=1 Size=268435456
                Capabilities: [200 v1] Single Root I/O Virtualization
                IOVCap: Migration- ARIHierarchy+ 10BitTagReq- IntMsgNum=0
                IOVCtl: Enable+ Migration- Interrupt- MSE- ARIHierarchy+ 10BitTagReq-
                IOVSta: Migration-
                VFs: Initial=16 Total=16
                NumVFs: Number=4 FunctionLink=0
                VFPlace: Offset=2 Stride=1
                VFDevice: ID=10ca
                PageSizes: Supported=00000553 System=00000001
                Capabilities: [300 v1] Designated Vendor-Specific: Vendor=1e98 Rev=1 Len=12
                Header2: ID=0008
                Bytes: ef be
                """))
    }

    @Test func anUnknownCapabilityIsShownByItsBytes() throws {
        var configuration = FakeConfiguration(size: 4096)
        configuration.add(0x77, at: 0x40, UInt16(0x2211), UInt32(0x6655_4433))
        configuration.add(0x03, at: 0x48, UInt16(0x8001))
        configuration.addExtended(0x7777, at: 0x100, UInt32(0x4433_2211))
        configuration.addExtended(0x02, at: 0x108, UInt32(0x0807_0605))
        let text = try lines(configuration).joined(separator: "\n")
        #expect(text.contains("Capabilities: [40] Unknown capability [77]\nBytes: 11 22 33 44 55 66\n"))
        #expect(
            text.contains(
                "Capabilities: [48] Vital Product Data\nBytes: 01 80 00 00 00 00 00 00 00 00 00 00 00 00 00 00\n"))
        #expect(text.contains("Capabilities: [100 v1] Unknown capability [7777]\nBytes: 11 22 33 44\n"))
        #expect(text.contains("Capabilities: [108 v1] Virtual Channel\nBytes: 05 06 07 08 00 "))
        let capabilities = try #require(json(FakeDevice(configuration: configuration.bytes))["capabilities"])
        #expect(capabilities[0]?["bytes"] == "112233445566")
        #expect(capabilities[2]?["version"] == 1)
    }

    @Test func aCapabilityAtTheVeryEndIsShownAsFarAsItGoes() throws {
        var configuration = FakeConfiguration()
        configuration.add(0x11, at: 0xf8, UInt16(0x8007), UInt32(0x1000))
        let text = try lines(configuration)
        #expect(text.contains("Capabilities: [f8] MSI-X: Enable+ Count=8 Masked-"))
        #expect(text.contains("Vector table: BAR=0 Offset=00001000"))
        #expect(!text.contains { $0.hasPrefix("PBA") })
    }
}
