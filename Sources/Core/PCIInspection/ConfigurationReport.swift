import JSON
import PCI

/// A function's configuration space, taken apart in the manner of `lspci -vv`. The bytes may come from any server:
/// whatever they say is shown or passed over, never trusted.
/// PCI Local Bus Specification 3.0, chapter 6.
package struct ConfigurationReport {
    package let space: ConfigurationBytes
    let identity: PCIIdentity
    /// The layout of bytes 0x10 to 0x3f: 0 for a device, 1 and 2 for bridges.
    let headerType: UInt8
    let registers: [RegisterReport]
    package let capabilities: [CapabilityReport]
    /// What makes no sense, each a sentence.
    package let problems: [String]

    package init(_ bytes: [UInt8]) {
        space = ConfigurationBytes(bytes: bytes)
        headerType = space.number(at: 0x0e) & 0x7f
        identity = PCIIdentity(
            vendor: space.number(at: 0x00), device: space.number(at: 0x02),
            class: PCIClass(
                base: space.number(at: 0x0b), sub: space.number(at: 0x0a), interface: space.number(at: 0x09)),
            revision: space.number(at: 0x08), subsystemVendor: space.number(at: 0x2c),
            subsystem: space.number(at: 0x2e))
        registers = Self.headerRegisters.compactMap { [space] in $0.report(space, at: 0, end: 0x40) }
        var walk = CapabilityWalk(space, vendor: identity.vendor)
        walk.standard()
        walk.extended()
        (capabilities, problems) = (walk.reports, walk.problems)
    }

    package static let headerRegisters: [RegisterLayout] = [
        .init(
            "Control", at: 0x04, width: 2,
            .flags(
                "I/O", "Mem", "BusMaster", "SpecCycle", "MemWINV", "VGASnoop", "ParErr", "Stepping", "SERR", "FastB2B",
                "DisINTx")),
        .init(
            "Status", at: 0x06, width: 2,
            .flags("Cap", "66MHz", "UDF", "FastB2B", "ParErr", from: 4)
                + [.choice("DEVSEL", 9...10, ["fast", "medium", "slow"])]
                + .flags(">TAbort", "<TAbort", "<MAbort", ">SERR", "<PERR", from: 11) + [.flag("INTx", 3)]),
        .init(
            "Timing", at: 0x0c, width: 2, [.number("Latency", 8...15), .number("CacheLineSize", 0...7, times: 4)]),
    ]

    /// Whether accesses to memory or to I/O ports are answered.
    package func decodes(_ space: BARLayout.Space) -> Bool {
        let command = ConfigurationSpace.Command(rawValue: self.space.number(at: 0x04))
        return command.contains(space == .io ? .io : .memory)
    }

    // MARK: Base addresses

    /// What a base address register says; its size it doesn't tell without being written.
    package struct BaseAddress {
        package let space: BARLayout.Space
        package let isPrefetchable: Bool
        /// 0 when it has none yet.
        package let address: UInt64
    }

    /// BAR 0 to 5; nil when this kind of header has no such register.
    package func baseAddress(_ index: Int) -> BaseAddress? {
        guard (0..<(headerType == 0 ? 6 : headerType == 1 ? 2 : 0)).contains(index) else { return nil }
        let value: UInt32 = space.number(at: 0x10 + index * 4)
        if value & 1 != 0 { return BaseAddress(space: .io, isPrefetchable: false, address: UInt64(value & ~0b11)) }
        let is64Bit = value & 0b110 == 0b100 && index < 5
        let upper: UInt32 = is64Bit ? space.number(at: 0x14 + index * 4) : 0
        return BaseAddress(
            space: is64Bit ? .memory64 : .memory32, isPrefetchable: value & 0b1000 != 0,
            address: UInt64(upper) << 32 | UInt64(value & ~0b1111))
    }

    /// The expansion ROM's register: the address, 0 when it has none yet, and whether the ROM is on.
    package var expansionROM: (address: UInt32, isEnabled: Bool) {
        let value: UInt32 = space.number(at: headerType == 1 ? 0x38 : 0x30)
        return (value & ~0x7ff, value & 1 != 0)
    }

    // MARK: For people

    package var heading: String {
        let code = identity.classCode
        let interface = code.interface == 0 ? "" : ", prog-if \(code.interface.hexadecimal(digits: 2))"
        return "\(code.name) [\(code.base.hexadecimal(digits: 2))\(code.sub.hexadecimal(digits: 2))]: "
            + "Device [\(identity.vendor.hexadecimal(digits: 4)):\(identity.device.hexadecimal(digits: 4))] "
            + "(rev \(identity.revision.hexadecimal(digits: 2))\(interface))"
    }

    /// What lies in the header, without base addresses.
    package var headerLines: [String] {
        var lines: [String] = []
        if headerType == 0 {
            let vendor = identity.subsystemVendor.hexadecimal(digits: 4)
            lines.append("Subsystem: Device [\(vendor):\(identity.subsystem.hexadecimal(digits: 4))]")
        } else {
            lines.append("Header: type \(headerType)")
        }
        lines += registers.map(\.line)
        if interruptPin != 0 {
            let pin = InterruptPin(rawValue: interruptPin).map { "\($0)".uppercased() } ?? "reserved(\(interruptPin))"
            // 0 and 255 mean that firmware has written nothing.
            let route = (1..<255).contains(interruptLine) ? " routed to IRQ \(interruptLine)" : ""
            lines.append("Interrupt: pin \(pin)\(route)")
        }
        return lines
    }

    private var interruptLine: UInt8 { space.number(at: 0x3c) }
    /// 1 to 4 for A to D; 0 for none.
    private var interruptPin: UInt8 { space.number(at: 0x3d) }

    // MARK: For programs

    package var members: [(String, JSON)] {
        let code = identity.classCode
        return [
            ("vendor", JSON(identity.vendor)), ("device", JSON(identity.device)),
            ("class", JSON(Int(code.base) << 16 | Int(code.sub) << 8 | Int(code.interface))),
            ("className", .string(code.name)), ("revision", JSON(identity.revision)),
            ("headerType", JSON(headerType)),
            ("subsystemVendor", headerType == 0 ? JSON(identity.subsystemVendor) : .null),
            ("subsystem", headerType == 0 ? JSON(identity.subsystem) : .null),
            ("registers", .array(registers.map(\.json))), ("interruptPin", JSON(interruptPin)),
            ("interruptLine", JSON(interruptLine)), ("capabilities", .array(capabilities.map(\.json))),
        ]
    }
}
