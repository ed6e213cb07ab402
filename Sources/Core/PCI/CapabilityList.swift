/// The capabilities of a function, placed one after the other in configuration space.
/// PCI Local Bus Specification 3.0, section 6.7.
struct CapabilityList {
    /// The first byte after the header. Every capability begins at a multiple of 4.
    static let start = 0x40
    private static let end = 0x100

    private(set) var registers: [ConfigurationSpace.Register] = []
    /// Where a capability begins, by its ID; the first of several.
    private(set) var offsets: [UInt8: Int] = [:]
    private(set) var msixLayout: MSIXLayout?
    private(set) var window: BARWindow?

    init(_ capabilities: [Capability], bars: [BARLayout]) throws(ConfigurationError) {
        var offset = Self.start
        for (index, capability) in capabilities.enumerated() {
            if let name = capability.uniqueName {
                guard offsets[capability.id] == nil else { throw .capabilityTwice(name) }
            }
            if offsets[capability.id] == nil { offsets[capability.id] = offset }

            let body = try body(of: capability, at: offset, bars: bars)
            let next = offset + (capability.length + 3) & ~3
            let isLast = index == capabilities.count - 1
            registers += [
                .init("Capability ID", at: offset, .byte, reset: UInt32(capability.id)),
                .init("Next Capability", at: offset + 1, .byte, reset: isLast ? 0 : UInt32(next & 0xff)),
            ]
            registers += body
            offset = next
        }
        guard offset <= Self.end else {
            throw .capabilitiesTooLong(bytes: offset - Self.start, available: Self.end - Self.start)
        }
    }

    /// The registers after the ID and the next pointer.
    private mutating func body(
        of capability: Capability, at offset: Int, bars: [BARLayout]
    ) throws(ConfigurationError) -> [ConfigurationSpace.Register] {
        switch capability {
        case .powerManagement:
            return PowerManagement.registers(at: offset)
        case .msi(let vectors, let perVectorMasking):
            return try MSI.registers(at: offset, vectors: vectors, perVectorMasking: perVectorMasking)
        case .msix(let vectors, let tableBAR, let tableOffset, let pendingBAR, let pendingOffset):
            let layout = try MSIXLayout(
                vectors: vectors, tableBAR: tableBAR, tableOffset: tableOffset, pendingBAR: pendingBAR,
                pendingOffset: pendingOffset, bars: bars)
            msixLayout = layout
            return MSIX.registers(at: offset, layout)
        case .pciExpress:
            return PCIExpress.registers(at: offset)
        case .vendor(let bytes, let window):
            if let window {
                guard self.window == nil else { throw .capabilityTwice("window into BARs") }
                try VendorSpecific.check(window, in: bytes)
                self.window = window.moved(by: offset)
            }
            return VendorSpecific.registers(at: offset, bytes, window: window)
        }
    }
}

/// A capability that software finds by its vendor: the length, then what the vendor likes, all read-only but
/// for a window.
/// PCI Local Bus Specification 3.0, appendix H.
enum VendorSpecific {
    static let id: UInt8 = 0x09

    static func length(_ bytes: [UInt8]) -> Int { 3 + bytes.count }

    /// Where a window's registers may be: behind the length.
    static func check(_ window: BARWindow, in bytes: [UInt8]) throws(ConfigurationError) {
        let room = 3..<length(bytes)
        for field in window.fields where field.clamped(to: room) != field {
            throw .window(place: field.lowerBound, capability: room.upperBound)
        }
    }

    static func registers(at base: Int, _ bytes: [UInt8], window: BARWindow?) -> [ConfigurationSpace.Register] {
        let fields = window?.fields ?? []
        let length = UInt8(truncatingIfNeeded: length(bytes))
        var registers = window?.moved(by: base).registers ?? []
        for (index, byte) in ([length] + bytes).enumerated() where !fields.contains(where: { $0.contains(2 + index) }) {
            registers.append(.init("Vendor-Specific", at: base + 2 + index, .byte, reset: UInt32(byte)))
        }
        return registers.sorted { $0.offset < $1.offset }
    }
}

extension Capability {
    /// PCI Code and ID Assignment Specification, section 2.
    var id: UInt8 {
        switch self {
        case .powerManagement: PowerManagement.id
        case .msi: MSI.id
        case .msix: MSIX.id
        case .pciExpress: PCIExpress.id
        case .vendor: VendorSpecific.id
        }
    }

    /// In bytes, with ID and next pointer.
    var length: Int {
        switch self {
        case .powerManagement: PowerManagement.length
        case .msi(_, let perVectorMasking): MSI.length(perVectorMasking: perVectorMasking)
        case .msix: MSIX.length
        case .pciExpress: PCIExpress.length
        case .vendor(let bytes, _): VendorSpecific.length(bytes)
        }
    }

    /// The name of a capability of which there can be one; nil for others.
    var uniqueName: String? {
        switch self {
        case .powerManagement: "power management"
        case .msi: "MSI"
        case .msix: "MSI-X"
        case .pciExpress: "PCI Express"
        case .vendor: nil
        }
    }
}
