/// A function's configuration space, decoded for people in the manner of `lspci -vv`. The bytes may come from any
/// server: whatever they say is shown or passed over, never trusted.
/// PCI Local Bus Specification 3.0, chapter 6 and appendix H.
struct ConfigurationReport {
    private let bytes: [UInt8]

    init(_ bytes: [UInt8]) {
        self.bytes = bytes
    }

    var vendor: Int { number(at: 0x00, count: 2) }
    var device: Int { number(at: 0x02, count: 2) }
    var revision: Int { number(at: 0x08, count: 1) }
    /// Base class, subclass and programming interface.
    var classCode: Int { number(at: 0x09, count: 3) }
    var subsystemVendor: Int { number(at: 0x2c, count: 2) }
    var subsystem: Int { number(at: 0x2e, count: 2) }
    /// 1 to 4 for A to D; 0 for none.
    var interruptPin: Int { number(at: 0x3d, count: 1) }

    var lines: [String] {
        [
            "\(hex(vendor, 4)):\(hex(device, 4)), class \(hex(classCode, 6)), revision \(hex(revision, 2))",
            "Subsystem: \(hex(subsystemVendor, 4)):\(hex(subsystem, 4))",
            "Control: \(flags(number(at: 0x04, count: 2), Self.commandBits))",
            "Status: \(flags(number(at: 0x06, count: 2), Self.statusBits))",
        ] + (1...4).filter { $0 == interruptPin }.map { "Interrupt: pin \(["A", "B", "C", "D"][$0 - 1])" }
            + capabilities.map(\.line)
    }

    private static let commandBits = [
        (0, "I/O"), (1, "Mem"), (2, "BusMaster"), (6, "ParErr"), (8, "SERR"), (10, "DisINTx"),
    ]
    private static let statusBits = [
        (3, "INTx"), (4, "Cap"), (8, "ParErr"), (11, ">TAbort"), (12, "<TAbort"), (13, "<MAbort"), (14, ">SERR"),
        (15, "<PERR"),
    ]

    private func flags(_ value: Int, _ names: [(bit: Int, name: String)]) -> String {
        names.map { "\($0.name)\(value >> $0.bit & 1 == 1 ? "+" : "-")" }.joined(separator: " ")
    }

    /// What kind of BAR there is at `index`, 0 to 5, and where it is now.
    func baseAddress(_ index: Int) -> String {
        let value = number(at: 0x10 + index * 4, count: 4)
        if value & 1 == 1 { return "I/O \(place(value & ~0b11))" }
        let is64Bit = value & 0b110 == 0b100
        let upper = is64Bit && index < 5 ? number(at: 0x14 + index * 4, count: 4) << 32 : 0
        let kind = "\(is64Bit ? "64" : "32")-bit \(value & 0b1000 == 0 ? "non-" : "")prefetchable"
        return "memory \(kind) \(place(upper | value & ~0b1111))"
    }

    private func place(_ address: Int) -> String { address == 0 ? "unassigned" : "at \(hex(address, 8))" }

    // MARK: Capabilities

    struct Capability {
        let offset: Int
        let id: Int
        let description: String

        var line: String { "Capabilities: [\(hex(offset, 2))] \(description)" }
    }

    /// The list, as far as it makes sense.
    var capabilities: [Capability] {
        guard number(at: 0x06, count: 2) & 1 << 4 != 0 else { return [] }
        var list: [Capability] = []
        var offset = number(at: 0x34, count: 1) & ~0b11
        // 48 fit into 256 bytes; a longer list is a loop.
        while offset >= 0x40, list.count < 48 {
            let id = number(at: offset, count: 1)
            list.append(Capability(offset: offset, id: id, description: description(of: id, at: offset)))
            offset = number(at: offset + 1, count: 1) & ~0b11
        }
        return list
    }

    private func description(of id: Int, at offset: Int) -> String {
        let control = number(at: offset + 2, count: 2)
        switch id {
        case 0x01: return "Power Management version \(control & 0b111)"
        case 0x05:
            return "MSI: Enable\(sign(control, 0)) Count=\(1 << (control >> 4 & 0b111))/\(1 << (control >> 1 & 0b111)) "
                + "Maskable\(sign(control, 8)) 64bit\(sign(control, 7))"
        case 0x09: return "Vendor Specific Information: Len=\(hex(control & 0xff, 2))"
        case 0x10: return "Express version \(control & 0xf)"
        case 0x11:
            let table = number(at: offset + 4, count: 4)
            let pending = number(at: offset + 8, count: 4)
            return "MSI-X: Enable\(sign(control, 15)) Count=\((control & 0x7ff) + 1) Masked\(sign(control, 14)) "
                + "Table: BAR=\(table & 0b111) offset=\(hex(table & ~0b111, 8)) "
                + "PBA: BAR=\(pending & 0b111) offset=\(hex(pending & ~0b111, 8))"
        default: return "Capability ID \(hex(id, 2))"
        }
    }

    private func sign(_ value: Int, _ bit: Int) -> String { value >> bit & 1 == 1 ? "+" : "-" }

    // MARK: Bytes

    /// A little-endian number; bytes that there aren't are zero.
    private func number(at offset: Int, count: Int) -> Int {
        (0..<count).reversed().reduce(0) { value, index in
            let position = offset + index
            return value << 8 | (bytes.indices.contains(position) ? Int(bytes[position]) : 0)
        }
    }

    /// Lines of sixteen bytes, as `lspci -x` prints them.
    var dump: [String] {
        stride(from: 0, to: bytes.count, by: 16).map { start in
            let line = bytes[start..<min(start + 16, bytes.count)].map { hex(Int($0), 2, prefix: "") }
            return "\(hex(start, 2, prefix: "")): \(line.joined(separator: " "))"
        }
    }
}

/// A number in hexadecimal with at least so many digits.
func hex<Number: BinaryInteger>(_ number: Number, _ digits: Int, prefix: String = "0x") -> String {
    let text = String(number, radix: 16)
    return prefix + String(repeating: "0", count: max(0, digits - text.count)) + text
}
