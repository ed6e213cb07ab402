import PCI
import PCIInspection
import VFIO

/// For people: the form of `lspci -vv`, and what only vfio-user has in the same manner.
extension Findings {
    /// - Parameter name: what the device is called, where `lspci` says the slot.
    func lines(of name: String, withBytes: Bool) -> [String] {
        let heading = configuration?.heading ?? "Device that is no PCI device, or shows no configuration space"
        var lines = [serverLine, deviceLine] + (configuration?.headerLines ?? [])
        lines += regions.flatMap(self.lines)
        lines += interrupts.filter { $0.count > 0 }.map(line)
        lines += configuration?.capabilities.flatMap(\.lines) ?? []
        lines += migrationLines
        lines += problems.map { "Problem: \($0)" }
        let dump = withBytes ? configuration?.space.dump ?? [] : []
        return ["\(name.excerpt) \(heading)"] + lines.map { "\t\($0)" } + dump
    }

    private var serverLine: String {
        let twin = server.twinSocket == nil ? "-" : "+"
        let migration = server.migrationPageSize.map { " MigrationPageSize=\(size($0))" } ?? ""
        return "Server: vfio-user \(Capabilities.major).\(Capabilities.minor) MaxMessageFDs=\(server.maxMessageFDs) "
            + "MaxTransfer=\(Size(server.maxDataTransfer)) MaxDMAMaps=\(server.maxDMAMaps) "
            + "PageSizes=0x\(server.pageSizes.hexadecimal()) WriteMultiple\(server.writeMultiple ? "+" : "-") "
            + "TwinSocket\(twin)\(migration)"
    }

    private var deviceLine: String {
        "Device: \(info.flags.text(DeviceInfo.Flags.names)) Regions=\(info.regionCount) Interrupts=\(info.irqCount)"
    }

    private func size(_ bytes: UInt64) -> String {
        Int(exactly: bytes).map { Size($0).description } ?? "\(bytes)"
    }

    // MARK: Regions

    /// None for a region that the device doesn't have.
    private func lines(_ region: Region) -> [String] {
        let info = region.info
        guard info.length > 0 else { return [] }
        var lines = [
            "\(kind(of: info)) [size=\(size(info.length))]",
            "\tAccess: \(info.flags.text(RegionInfo.Flags.names)) Offset=0x\(info.offset.hexadecimal())",
        ]
        if let specific = info.specific {
            lines.append("\tType: 0x\(specific.type.hexadecimal()) Subtype: 0x\(specific.subtype.hexadecimal())")
        }
        lines += info.sparseAreas.map { "\tMmap: Offset=0x\($0.offset.hexadecimal()) [size=\(size($0.size))]" }
        lines += region.doorbells.map { doorbell in
            let width = doorbell.size == 0 ? "any" : "\(doorbell.size)"
            let match = doorbell.match.map { " Match=0x\($0.hexadecimal())" } ?? ""
            return "\tDoorbell: Offset=0x\(doorbell.offset.hexadecimal()) Width=\(width)\(match)"
        }
        return lines
    }

    private func kind(of region: RegionInfo) -> String {
        guard info.flags.contains(.pci) else { return "Region \(region.index):" }
        switch Int(region.index) {
        case RegionIndex.bar0...RegionIndex.bar5:
            guard let base = configuration?.baseAddress(Int(region.index)) else { return "Region \(region.index):" }
            return "Region \(region.index): \(text(base))"
        case RegionIndex.rom:
            guard let rom = configuration?.expansionROM else { return "Expansion ROM" }
            return "Expansion ROM at \(place(UInt64(rom.address)))\(rom.isEnabled ? "" : " [disabled]")"
        case RegionIndex.configuration: return "Region \(region.index): Configuration space"
        case RegionIndex.vga: return "Region \(region.index): VGA"
        default: return "Region \(region.index): Device-specific"
        }
    }

    private func text(_ base: ConfigurationReport.BaseAddress) -> String {
        let disabled = configuration?.decodes(base.space) == true ? "" : " [disabled]"
        let prefetchable = base.isPrefetchable ? "prefetchable" : "non-prefetchable"
        return switch base.space {
        case .io: "I/O ports at \(place(base.address))\(disabled)"
        case .memory32: "Memory at \(place(base.address)) (32-bit, \(prefetchable))\(disabled)"
        case .memory64: "Memory at \(place(base.address)) (64-bit, \(prefetchable))\(disabled)"
        }
    }

    private func place(_ address: UInt64) -> String {
        address == 0 ? "<unassigned>" : address.hexadecimal(digits: 8)
    }

    // MARK: Interrupts and migration

    private func line(_ interrupt: IRQInfo) -> String {
        let name = InterruptKind(rawValue: interrupt.index)?.name ?? "\(interrupt.index)"
        return "Interrupts \(name): Count=\(interrupt.count) \(interrupt.flags.text(IRQInfo.Flags.names))"
    }

    private var migrationLines: [String] {
        guard let migration else { return [] }
        return [
            "Migration: \(migration.flags.text(MigrationFlags.names)) "
                + "State=\(migration.state?.name ?? "unknown") dirty-log\(migration.hasDirtyLog ? "+" : "-")"
        ]
    }
}

extension MigrationState {
    var name: String {
        switch self {
        case .error: "error"
        case .stop: "stop"
        case .running: "running"
        case .stopCopy: "stop-copy"
        case .resuming: "resuming"
        case .runningPeerToPeer: "running-p2p"
        case .preCopy: "pre-copy"
        case .preCopyPeerToPeer: "pre-copy-p2p"
        }
    }
}

extension RegionIOFDs.Entry {
    /// The only value that signals; nil when every one does.
    var match: UInt64? { flags & Self.datamatchFlag != 0 ? datamatch : nil }
}
