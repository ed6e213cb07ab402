import JSON
import PCI
import PCIInspection
import VFIO

/// For programs. The members are described in Documentation/CommandLine.md and stay what they are.
extension Findings {
    var json: JSON {
        var object = JSON.Object(configuration?.members ?? [])
        object["server"] = (try? JSON(parsing: server.text)) ?? .null
        object["flags"] = json(info.flags.list(DeviceInfo.Flags.names))
        object["regionCount"] = JSON(info.regionCount)
        object["interruptCount"] = JSON(info.irqCount)
        object["regions"] = .array(regions.map(json))
        object["interrupts"] = .array(interrupts.map(json))
        object["migration"] = migration.map(json) ?? .null
        object["problems"] = json(problems)
        object["configuration"] = .string(configuration?.space.bytes.hexadecimal() ?? "")
        return .object(object)
    }

    private func json(_ names: [String]) -> JSON { .array(names.map(JSON.string)) }

    private func json(_ region: Region) -> JSON {
        let info = region.info
        return [
            "index": JSON(info.index), "name": .string(name(info)), "size": JSON(info.length),
            "offset": JSON(info.offset), "flags": json(info.flags.list(RegionInfo.Flags.names)),
            "mmap": .array(info.sparseAreas.map { ["offset": JSON($0.offset), "size": JSON($0.size)] }),
            "type": info.specific.map { ["type": JSON($0.type), "subtype": JSON($0.subtype)] } ?? .null,
            "bar": info.length > 0 ? bar(Int(info.index)) : .null,
            "doorbells": .array(
                region.doorbells.map {
                    [
                        "offset": JSON($0.offset), "size": JSON($0.size), "flags": JSON($0.flags),
                        "match": $0.match.map { JSON($0) } ?? .null,
                    ]
                }),
        ]
    }

    private func bar(_ index: Int) -> JSON {
        guard let base = configuration?.baseAddress(index) else { return .null }
        return [
            "space": base.space == .io ? "io" : "memory",
            "bits": base.space == .memory64 ? 64 : 32,
            "prefetchable": .bool(base.isPrefetchable),
            "address": base.address == 0 ? .null : JSON(base.address),
            "enabled": .bool(configuration?.decodes(base.space) == true),
        ]
    }

    private func json(_ interrupt: IRQInfo) -> JSON {
        [
            "index": JSON(interrupt.index),
            "name": .string(InterruptKind(rawValue: interrupt.index)?.name ?? "\(interrupt.index)"),
            "count": JSON(interrupt.count), "flags": json(interrupt.flags.list(IRQInfo.Flags.names)),
        ]
    }

    private func json(_ migration: Migration) -> JSON {
        [
            "flags": json(migration.flags.list(MigrationFlags.names)),
            "state": migration.state.map { .string($0.name) } ?? .null, "dirtyLog": .bool(migration.hasDirtyLog),
        ]
    }
}
