import PCI
import VFIO
import VFIOUserClient

extension AttachedClient {
    /// Takes the BARs to where their registers and the command register put them.
    func moveBARs() {
        var command = (try? client.read(UInt16.self, region: RegionIndex.configuration, offset: 4)) ?? 0
        // In D3hot a function answers at no address.
        if let powerManagement = capabilities.powerManagement,
            let control = try? client.read(
                UInt16.self, region: RegionIndex.configuration, offset: powerManagement + 4), control & 3 != 0
        {
            command = 0
        }
        for bar in 0..<6 {
            let placement = regions[bar].info.length == 0 ? nil : placement(of: bar, command: command)
            if let placed = bars[bar], placement == placed.placement { continue }
            // What was there must be gone before another may cover the same addresses.
            bars[bar] = nil
            bars[bar] = placement.map { place(bar, $0) }
        }
    }

    private func placement(of bar: Int, command: UInt16) -> BARPlacement? {
        let offset = UInt64(0x10 + 4 * bar)
        guard let low = try? client.read(UInt32.self, region: RegionIndex.configuration, offset: offset) else {
            return nil
        }
        if low & 1 != 0 {
            guard command & 1 != 0 else { return nil }
            return BARPlacement(.io, at: UInt64(low & 0xfffc), holding: regions[bar].info.length)
        }
        guard command & 2 != 0 else { return nil }
        var base = UInt64(low & 0xffff_fff0)
        // Bits 1 and 2: the type; 2 is a 64-bit BAR, whose upper half is the next register.
        if low >> 1 & 3 == 2, bar < 5 {
            let high = try? client.read(UInt32.self, region: RegionIndex.configuration, offset: offset + 4)
            base |= UInt64(high ?? 0) << 32
        }
        return BARPlacement(.memory, at: base, holding: regions[bar].info.length)
    }

    private func place(_ bar: Int, _ placement: BARPlacement) -> PlacedBAR {
        PlacedBAR(
            placement: placement, size: regions[bar].info.length,
            memory: placement.space == .memory ? slots(bar, at: placement.address) : [],
            events: events(bar, placement))
    }

    /// Memory slots for the parts that may be mapped. Where KVM takes none, accesses exit and are forwarded.
    private func slots(_ bar: Int, at base: UInt64) -> [VirtualMachine.MemorySlot] {
        let region = regions[bar]
        guard region.file != nil else { return [] }
        let areas =
            region.info.sparseAreas.isEmpty ? [.init(offset: 0, size: region.info.length)] : region.info.sparseAreas
        let length = region.info.length
        return areas.compactMap { area in
            // The server's word: an area that leaves its BAR would come to lie where something else is.
            guard area.offset <= length, area.size <= length - area.offset else { return nil }
            guard let size = Int(exactly: area.size), size > 0,
                let mapping = try? region.map(at: area.offset, size: size)
            else { return nil }
            return try? machine.map(
                mapping, 0..<size, at: base + area.offset, isReadOnly: !region.info.flags.contains(.write))
        }
    }

    private func events(_ bar: Int, _ placement: BARPlacement) -> [VirtualMachine.WriteEvent] {
        doorbells[bar].compactMap { doorbell in
            let entry = doorbell.entry
            guard entry.offset < regions[bar].info.length, let width = UInt32(exactly: entry.size) else { return nil }
            let hasMatch = entry.flags & RegionIOFDs.Entry.datamatchFlag != 0
            return try? machine.event(
                onWriteAt: placement.address + entry.offset, width: width, match: hasMatch ? entry.datamatch : nil,
                in: placement.space, doorbell.eventFD)
        }
    }
}
