import Linux
import VFIO
import VFIOUserClient

extension AttachedDevice {
    /// A BAR that the guest has placed and switched on, and what answers there without an exit.
    struct Window {
        let bar: Int
        let space: VirtualMachine.Space
        let base: UInt64
        let size: UInt64
        /// They last as long as the window.
        let memory: [VirtualMachine.MemorySlot]
        let events: [VirtualMachine.WriteEvent]

        func contains(_ address: UInt64, count: Int) -> Bool {
            address >= base && address - base <= size && UInt64(count) <= size - (address - base)
        }
    }

    /// Where the BARs are, as the guest has programmed them.
    private struct Placement: Equatable {
        var space: VirtualMachine.Space
        var base: UInt64
    }

    /// Takes the windows to where the BARs and the command register put them.
    func moveWindows() {
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
            if let window = windows[bar], placement == Placement(space: window.space, base: window.base) { continue }
            // The old window must be gone before a new one may cover the same addresses.
            windows[bar] = nil
            windows[bar] = placement.map { open(bar, $0) }
        }
    }

    private func placement(of bar: Int, command: UInt16) -> Placement? {
        let offset = UInt64(0x10 + 4 * bar)
        guard let low = try? client.read(UInt32.self, region: RegionIndex.configuration, offset: offset) else {
            return nil
        }
        if low & 1 != 0 {
            guard command & 1 != 0 else { return nil }
            let base = UInt64(low & 0xfffc)
            return base == 0 ? nil : Placement(space: .ports, base: base)
        }
        guard command & 2 != 0 else { return nil }
        var base = UInt64(low & 0xffff_fff0)
        // Bits 1 and 2: the type; 2 is a 64-bit BAR, whose upper half is the next register.
        if low >> 1 & 3 == 2, bar < 5 {
            let high = try? client.read(UInt32.self, region: RegionIndex.configuration, offset: offset + 4)
            base |= UInt64(high ?? 0) << 32
        }
        // A BAR at 0, or at the end where sizing leaves it, is not placed yet.
        let (end, overflow) = base.addingReportingOverflow(regions[bar].info.length)
        return base == 0 || overflow || end > 1 << 46 ? nil : Placement(space: .memory, base: base)
    }

    private func open(_ bar: Int, _ placement: Placement) -> Window {
        Window(
            bar: bar, space: placement.space, base: placement.base, size: regions[bar].info.length,
            memory: placement.space == .memory ? slots(bar, at: placement.base) : [],
            events: events(bar, placement))
    }

    /// Memory slots for the parts that may be mapped. Where KVM takes none, accesses exit and are forwarded.
    private func slots(_ bar: Int, at base: UInt64) -> [VirtualMachine.MemorySlot] {
        let region = regions[bar]
        guard region.file != nil else { return [] }
        let areas =
            region.info.sparseAreas.isEmpty ? [.init(offset: 0, size: region.info.length)] : region.info.sparseAreas
        return areas.compactMap { area in
            guard let size = Int(exactly: area.size), size > 0,
                let mapping = try? region.map(at: area.offset, size: size)
            else { return nil }
            return try? machine.map(
                mapping, 0..<size, at: base + area.offset, isReadOnly: !region.info.flags.contains(.write))
        }
    }

    private func events(_ bar: Int, _ placement: Placement) -> [VirtualMachine.WriteEvent] {
        doorbells[bar].compactMap { doorbell in
            let entry = doorbell.entry
            guard entry.offset < regions[bar].info.length, let width = UInt32(exactly: entry.size) else { return nil }
            let hasMatch = entry.flags & RegionIOFDs.Entry.datamatchFlag != 0
            return try? machine.event(
                onWriteAt: placement.base + entry.offset, width: width, match: hasMatch ? entry.datamatch : nil,
                in: placement.space, doorbell.eventFD)
        }
    }
}
