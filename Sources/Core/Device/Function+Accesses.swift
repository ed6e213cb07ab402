import Alteration
import GuestMemory
import Linux
import PCI
import Tap

/// How an access gets to registers, memory, doorbells or configuration space. A transport brings it by region and
/// offset.
extension Function {
    /// Reads from a region, as many bytes as `target` has.
    ///
    /// Whether an address leads here is for whoever routes addresses to decide: an access that names its region is
    /// answered whatever the command register says of memory and I/O space. In D3hot only configuration space is.
    ///
    /// - Parameter way: how the access has come, for whoever watches.
    public func read(
        region: Int, offset: UInt64, into target: inout MutableRawSpan, by way: Way = .call
    ) throws(AccessError) {
        if host.isWatched { return try readInSight(region, offset, &target, way) }
        try carryOut(readOf: region, offset, &target)
    }

    /// Apart, so that an access that nobody sees costs a comparison and no call.
    @inline(never)
    private func readInSight(
        _ region: Int, _ offset: UInt64, _ target: inout MutableRawSpan, _ way: Way
    ) throws(AccessError) {
        let tap = host.tap
        tap?.accessBegins(isRead: true)
        defer { tap?.accessEnds() }
        try carryOut(readOf: region, offset, &target)
        let passage = Passage.read(region: region, offset: offset, by: way)
        switch host.alterer?.alteration(of: passage, target.bytes) {
        case .refuse(let errno)?: throw .altered(region, errno)
        case .change(let change)?: change.apply(to: &target)
        case .drop?, .again?, nil: break
        }
        tap?.note(passage, target.bytes)
    }

    /// Writes `source` to a region.
    ///
    /// - Parameter way: as for ``read(region:offset:into:by:)``.
    public func write(
        region: Int, offset: UInt64, from source: RawSpan, by way: Way = .call
    ) throws(AccessError) {
        if host.isWatched { return try writeInSight(region, offset, source, way) }
        try carryOut(writeOf: region, offset, source, way, seenBy: nil)
    }

    /// Apart, as for reads.
    @inline(never)
    private func writeInSight(
        _ region: Int, _ offset: UInt64, _ source: RawSpan, _ way: Way
    ) throws(AccessError) {
        let tap = host.tap
        tap?.accessBegins(isRead: false)
        defer { tap?.accessEnds() }
        // A write that is refused anyway isn't altered.
        let alterer = isRunning ? host.alterer : nil
        switch alterer?.alteration(of: .write(region: region, offset: offset, by: way), source) {
        case .refuse(let errno)?: throw .altered(region, errno)
        case .drop?: return
        case .change(let change)?:
            try carryOut(writeOf: region, offset, change.changed(source).span.bytes, way, seenBy: tap)
        case .again(let times)?:
            for _ in 0...times { try carryOut(writeOf: region, offset, source, way, seenBy: tap) }
        case nil: try carryOut(writeOf: region, offset, source, way, seenBy: tap)
        }
    }

    @inline(__always)
    private func carryOut(
        writeOf region: Int, _ offset: UInt64, _ source: RawSpan, _ way: Way, seenBy tap: (any Tap)?
    ) throws(AccessError) {
        // A write would change a device that was told to stand still, and configuration space with it.
        guard isRunning else { throw .standsStill(region) }
        if region >= 0, region < 6, let slot = awake[region] {
            try check(region, offset, source.byteCount, size: slot.bar.layout.size)
            guard !slot.bar.isReadOnly else { throw .readOnly(region) }
            tap?.note(.write(region: region, offset: offset, by: way), source)
            if let width = slot.registerWidth(at: offset, count: source.byteCount) {
                writeRegister(slot, offset, width, source.load(width, fromByteOffset: 0))
            } else {
                write(slot, offset, source)
            }
            return
        }
        switch region {
        case RegionIndex.configuration:
            try check(region, offset, source.byteCount, size: UInt64(configuration.size))
            tap?.note(.write(region: region, offset: offset, by: way), source)
            act(on: configuration.write(at: Int(offset), from: source))
            writeThroughWindow(Int(offset), source.byteCount)
        case RegionIndex.rom where !romImage.isEmpty: throw .readOnly(region)
        case 0..<6 where slots[region] != nil: throw .asleep(region)
        case 0..<RegionIndex.count:
            try check(region, offset, source.byteCount, size: 0)
        default: throw .noSuchRegion(region)
        }
    }

    @inline(__always)
    private func carryOut(
        readOf region: Int, _ offset: UInt64, _ target: inout MutableRawSpan
    ) throws(AccessError) {
        if region >= 0, region < 6, let slot = awake[region] {
            try check(region, offset, target.byteCount, size: slot.bar.layout.size)
            if let width = slot.registerWidth(at: offset, count: target.byteCount) {
                target.storeBytes(of: device.read(slot.index, at: offset, width: width), width, toByteOffset: 0)
            } else {
                read(slot, offset, &target)
            }
            return
        }
        switch region {
        case RegionIndex.configuration:
            try check(region, offset, target.byteCount, size: UInt64(configuration.size))
            showInterruptStatus()
            readThroughWindow(Int(offset), target.byteCount)
            configuration.read(at: Int(offset), into: &target)
        case RegionIndex.rom:
            try check(region, offset, target.byteCount, size: UInt64(romImage.count))
            let image = romImage
            let start = Int(offset)
            target.copy(image.span.bytes.extracting(start..<start + target.byteCount), to: 0)
        case 0..<6 where slots[region] != nil: throw .asleep(region)
        case 0..<RegionIndex.count:
            try check(region, offset, target.byteCount, size: 0)
        default: throw .noSuchRegion(region)
        }
    }

    @inline(__always)
    private func check(_ region: Int, _ offset: UInt64, _ count: Int, size: UInt64) throws(AccessError) {
        guard size > 0, offset <= size, UInt64(count) <= size - offset else {
            throw .outsideRegion(region, offset: offset, count: count, size: size)
        }
    }

    private func read(_ slot: BARSlot, _ offset: UInt64, _ target: inout MutableRawSpan) {
        var done = 0
        while done < target.byteCount {
            let position = offset + UInt64(done)
            let piece = slot.piece(at: position, upTo: offset + UInt64(target.byteCount))
            let end = done + Int(piece.range.count)
            switch piece.kind {
            case .registers:
                while done < end {
                    let at = offset + UInt64(done)
                    let width = AccessWidth.widest(at: at, upTo: end - done)
                    target.storeBytes(of: device.read(slot.index, at: at, width: width), width, toByteOffset: done)
                    done += width.rawValue
                }
            case .memory(let memory):
                var part = target._mutatingExtracting(done..<end)
                memory.copy(at: Int(position), count: part.byteCount, into: &part)
            case .msixTable(let start):
                var part = target._mutatingExtracting(done..<end)
                host.interrupts.msixTable?.read(at: Int(position - start), into: &part)
            case .msixPending(let start):
                var part = target._mutatingExtracting(done..<end)
                let pending = host.interrupts.pending
                host.interrupts.msixTable?.readPending(pending.span, at: Int(position - start), into: &part)
            }
            done = end
        }
    }

    private func write(_ slot: BARSlot, _ offset: UInt64, _ source: RawSpan) {
        var done = 0
        while done < source.byteCount {
            let position = offset + UInt64(done)
            let piece = slot.piece(at: position, upTo: offset + UInt64(source.byteCount))
            let end = done + Int(piece.range.count)
            switch piece.kind {
            case .registers:
                while done < end {
                    let at = offset + UInt64(done)
                    let width = AccessWidth.widest(at: at, upTo: end - done)
                    writeRegister(slot, at, width, source.load(width, fromByteOffset: done))
                    done += width.rawValue
                }
            case .memory(let memory):
                memory.replace(at: Int(position), with: source.extracting(done..<end))
            case .msixTable(let start):
                host.interrupts.writeTable(at: Int(position - start), from: source.extracting(done..<end))
            case .msixPending: break
            }
            done = end
        }
    }

    private func writeRegister(_ slot: BARSlot, _ offset: UInt64, _ width: AccessWidth, _ value: UInt64) {
        for doorbell in slot.bar.doorbells
        where doorbell.offset == offset && doorbell.width == width && doorbell.match ?? value == value {
            if doorbell.keepsValue { slot.bar.shadow?.publish(value, at: Int(offset)) }
            device.ring(doorbell, bar: slot.index, value: doorbell.keepsValue ? value : 0)
            return
        }
        device.write(slot.index, at: offset, width: width, value: value)
    }

    /// The memory that a write would go to, as ``memory(region:offset:count:)`` says of a read; nil also when it would
    /// be refused.
    public func writableMemory(region: Int, offset: UInt64, count: Int) -> MappedBytes? {
        guard isRunning, let memory = memory(region: region, offset: offset, count: count),
            awake[region]?.bar.isReadOnly == false
        else { return nil }
        return memory
    }

    /// The memory that holds what a read would give, byte for byte from the region's beginning; nil when some of it is
    /// not from memory. It is nil for all while there is a tap that sees all, or an alterer:
    /// ``read(region:offset:into:by:)`` shows the bytes to it.
    public func memory(region: Int, offset: UInt64, count: Int) -> MappedBytes? {
        if host.isWatched, host.alterer != nil || host.tap?.seesAll == true { return nil }
        guard region >= 0, region < 6, let bar = awake[region]?.bar, count >= 0 else { return nil }
        let isMapped = bar.mapped.contains { range in
            range.contains(offset) && UInt64(count) <= range.upperBound - offset
        }
        return isMapped ? bar.memory : nil
    }

    // MARK: Configuration space

    /// The status bits that follow the device's interrupts are brought up to date when somebody looks.
    private func showInterruptStatus() {
        configuration.setInterruptStatus(host.interrupts.pinAsserted)
        if configuration.msi != nil {
            configuration.setMSIPending(UInt32(truncatingIfNeeded: host.interrupts.pending[0]))
        }
    }

    /// Software reads the window's data: they are what the BAR gives now.
    private func readThroughWindow(_ position: Int, _ count: Int) {
        guard let (slot, target) = windowTarget(position, count) else { return }
        var bytes: InlineArray<4, UInt8> = [0, 0, 0, 0]
        var span = bytes.mutableSpan
        var raw = span.mutableBytes
        var part = raw._mutatingExtracting(0..<target.count)
        read(slot, target.offset, &part)
        configuration.windowData = UInt32(truncatingIfNeeded: bytes.span.bytes.load(.dword, fromByteOffset: 0))
    }

    /// Software has written the window's data: the BAR gets them.
    private func writeThroughWindow(_ position: Int, _ count: Int) {
        guard let (slot, target) = windowTarget(position, count), !slot.bar.isReadOnly else { return }
        let data = [configuration.windowData]
        write(slot, target.offset, data.span.bytes.extracting(first: target.count))
    }

    private func windowTarget(_ position: Int, _ count: Int) -> (BARSlot, BARWindow.Target)? {
        guard let target = configuration.windowTarget(at: position, count: count), target.bar < awake.count,
            let slot = awake[target.bar], target.offset <= slot.bar.layout.size,
            UInt64(target.count) <= slot.bar.layout.size - target.offset
        else { return nil }
        return (slot, target)
    }

    private func act(on changes: ConfigurationSpace.Changes) {
        if changes.contains(.functionLevelReset) { return reset() }
        // From D3hot to D0 a function resets itself. PCI Bus Power Management Interface Specification 1.2, section
        // 5.4.1.
        if changes.contains(.powerState), configuration.powerState == .d0 { return reset() }
        if !changes.isDisjoint(with: [.command, .msi, .msix, .powerState]) { openGates() }
        if !changes.isDisjoint(with: [.command, .bars, .powerState]) { placeRegions() }
    }
}
