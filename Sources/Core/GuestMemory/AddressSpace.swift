import Linux
import Tap

/// The guest's memory by I/O virtual address, with the rules of the kernel's type1 driver and no IOMMU.
/// `VFIO_IOMMU_MAP_DMA`, `VFIO_IOMMU_UNMAP_DMA`, VFIO_USER_DMA_MAP, VFIO_USER_DMA_UNMAP
///
/// A hypervisor maps and unmaps; a device reads, writes and pins. All on one thread.
public final class AddressSpace: MappedMemory {
    /// Announced as `max_dma_maps`.
    public let maximumMaps: Int
    private let files: FileMappings
    private var pinsMade: UInt64 = 0

    /// Which pages the device has written.
    public var dirtyLog: DirtyLog { log }
    /// How many maps there are. Those that are unmapped but still pinned don't count.
    public var mapCount: Int { maps.count }
    /// How many addresses are mapped; at most 2^64 - 1 are told.
    public var mappedBytes: UInt64 { UInt64(clamping: mapped) }
    // One thread, and no access to any of these lasts longer than a statement: checks at run time would find nothing.
    @exclusivity(unchecked) private var mapped: UInt128 = 0
    /// How often maps were taken away. Whoever finds nothing at an address can tell by it whether there was something
    /// before.
    @exclusivity(unchecked) public private(set) var withdrawals: UInt64 = 0
    /// How often maps were made.
    @exclusivity(unchecked) public private(set) var arrivals: UInt64 = 0

    /// - Parameters:
    ///   - maximumFiles: how many files there may be behind maps, each of which takes a descriptor. Unless given, the
    ///     function's share of
    ///     what this process's limit leaves, and of 32,768.
    ///   - functions: how many functions the process serves, at least 1: no client can take another's share.
    public init(maximumMaps: Int = 65_535, maximumFiles: Int? = nil, functions: Int = 1) {
        self.maximumMaps = maximumMaps
        files = FileMappings(
            maximumFiles: maximumFiles ?? ResourceLimit.descriptorsForMaps(functions: functions), functions: functions)
        super.init(log: DirtyLog(), gate: Gate(), traffic: Traffic())
    }

    /// Whether the function may read and write memory: PCI's bus mastering, which a guest's driver switches on and a
    /// system that is about to give memory to others switches off. While it may not, every access fails with
    /// ``DMAError/notBusMaster(address:)``, by pins too; maps stay.
    public var isBusMaster: Bool {
        get { gate.isOpen }
        set {
            guard newValue != gate.isOpen else { return }
            if newValue {
                gate.open()
                if isReachable { onArrival(true) }
            } else {
                gate.close()
                forgetRecent()
            }
        }
    }

    /// Whether the device can reach any memory now: something is mapped, and the function is a bus master. Work that is
    /// due meanwhile waits for ``onArrival``.
    public var isReachable: Bool { gate.isOpen && maps.count > 0 }

    /// Called when there is memory in reach that was not before: after each map, and when the function became a bus
    /// master. It gets whether none was in reach before, and doesn't map or unmap.
    public var onArrival: (_ isFirst: Bool) -> Void = { _ in }

    /// Where the bytes of a map are.
    public enum Backing: ~Copyable {
        /// A file that is memory, from byte `offset` on, a multiple of 4096. One descriptor is kept of each, as long as
        /// it is mapped.
        case file(Descriptor, offset: UInt64)
        /// Elsewhere: the hypervisor moves them.
        case remote(any RemoteMemory)
    }

    /// The map at an address, as something that another process can map too.
    ///
    /// - Returns: nil when there is no map, or it has no file.
    public func shareableMap(at address: UInt64) -> ShareableMap? {
        guard let window = maps.window(at: address), let host = window.host,
            case .file(let mapping) = maps.region(at: address)?.source
        else { return nil }
        return ShareableMap(
            address: window.start, last: window.last, access: window.access, offset: mapping.offset(of: host),
            file: mapping.file)
    }

    /// Makes guest memory available to the device.
    ///
    /// - Parameters:
    ///   - address: a multiple of 4096.
    ///   - size: in bytes, a multiple of 4096, at least one. The range may end at 2^64.
    /// - Throws: ``MapError``; nothing is mapped then.
    public func map(
        address: UInt64, size: UInt64, access: DMAAccess, backing: consuming Backing
    ) throws(MapError) {
        guard size > 0, address % pageSize == 0, size % pageSize == 0, size - 1 <= UInt64.max - address else {
            throw .invalidRange(address: address, size: size)
        }
        let access = access.intersection([.read, .write])
        guard !access.isEmpty else { throw .noAccess }
        let last = address + (size - 1)
        guard !maps.overlaps(address, through: last) else { throw .overlap(address: address, size: size) }
        guard maps.count < maximumMaps else { throw .full(maximum: maximumMaps) }
        switch consume backing {
        case .file(let descriptor, let offset):
            let file = try files.mapping(of: descriptor, offset: offset, size: size, access: access)
            maps.insert(
                Window(start: address, last: last, access: access, host: file.pointer(at: offset)),
                Region(.file(file)))
        case .remote(let memory):
            maps.insert(Window(start: address, last: last, access: access, host: nil), Region(.remote(memory)))
        }
        mapped += UInt128(size)
        arrivals &+= 1
        traffic.tap?.note(.mapped(address: address, size: size))
        if gate.isOpen { onArrival(maps.count == 1) }
    }

    /// Calls `body` with the bounds of every map, in ascending order.
    public func forEachMap(_ body: (_ first: UInt64, _ last: UInt64, DMAAccess) -> Void) {
        maps.forEach { window, _ in body(window.start, window.last, window.access) }
    }

    /// Whether anything is mapped at an address.
    public func isMapped(_ address: UInt64) -> Bool { maps.window(at: address) != nil }

    /// Whether there is a map with exactly these bounds, so that an unmap of them would succeed.
    public func hasMap(address: UInt64, size: UInt64) -> Bool {
        guard size > 0, size - 1 <= UInt64.max - address, let window = maps.window(at: address) else { return false }
        return window.start == address && window.last == address + (size - 1)
    }

    /// What ``unmap(address:size:onRelease:)`` came to.
    public enum Unmapping: Equatable, Sendable {
        /// Nothing refers to the memory any more.
        case done
        /// The memory is out of reach for new accesses, but pins hold it. Tell the client when they
        /// are gone.
        case held
    }

    /// Takes a map away. Pins of it that have a handler are invalidated before this returns.
    ///
    /// - Parameters:
    ///   - address: where an earlier map begins.
    ///   - size: that map's size.
    ///   - onRelease: called once, after ``Unmapping/held`` was returned, when the last pin is gone. Never called
    ///     after ``Unmapping/done``.
    /// - Throws: ``MapError/notMapped(address:size:)`` when no map has exactly these bounds.
    public func unmap(
        address: UInt64, size: UInt64, onRelease: @escaping () -> Void
    ) throws(MapError) -> Unmapping {
        guard size > 0, size - 1 <= UInt64.max - address,
            let region = maps.remove(address, through: address + (size - 1))
        else { throw .notMapped(address: address, size: size) }
        traffic.tap?.note(.unmapped(address: address, size: size))
        mapped -= UInt128(size)
        withdrawals &+= 1
        forgetRecent()
        return withdraw([region], onRelease)
    }

    /// Takes all maps away, as when the client is gone. The addresses can be mapped again at once, even those
    /// whose memory is held. `VFIO_DMA_UNMAP_FLAG_ALL`
    ///
    /// - Parameter onRelease: as for ``unmap(address:size:onRelease:)``, once for all.
    @discardableResult
    public func unmapAll(onRelease: @escaping () -> Void = {}) -> Unmapping {
        traffic.tap?.note(.unmappedAll)
        var regions: [Region] = []
        regions.reserveCapacity(maps.count)
        maps.forEach { _, region in regions.append(region) }
        maps = MapTable()
        mapped = 0
        withdrawals &+= 1
        forgetRecent()
        return withdraw(regions, onRelease)
    }

    private func withdraw(_ regions: [Region], _ onRelease: @escaping () -> Void) -> Unmapping {
        // Nearly always: no pin knows of any.
        if regions.allSatisfy({ $0.holds == 0 && $0.watchers.isEmpty }) { return .done }
        for region in regions {
            // A handler may release other pins, so each is looked up anew.
            for serial in region.watchers.keys.sorted() { region.watchers[serial]?.pin.invalidate() }
        }
        let pending = PendingRelease(onRelease)
        for region in regions where region.holds > 0 {
            region.release = pending
            pending.regions += 1
        }
        return pending.regions == 0 ? .done : .held
    }

    /// Keeps a range, which may run across maps that adjoin, usable until the pin is released.
    ///
    /// - Parameters:
    ///   - address: need not be aligned.
    ///   - size: in bytes, at least 1.
    ///   - access: what the pin will be used for.
    ///   - onInvalidation: with a handler, an unmap of any part of the range ends the pin: the handler is called, and
    ///     the memory can be used until it returns. Without one, the unmap waits until the pin is released.
    /// - Throws: ``DMAError`` when some of the range isn't mapped, or not for this access.
    public func pin(
        address: UInt64, size: UInt64, access: DMAAccess, onInvalidation: (() -> Void)? = nil
    ) throws(DMAError) -> Pin {
        try pin(address, size, access, holds: onInvalidation == nil, onInvalidation)
    }

    /// Keeps a range usable as ``pin(address:size:access:onInvalidation:)`` without a handler does: an unmap waits
    /// until the pin is released. For a holder who can't let go at once, such as another process, but wants to know
    /// when to begin.
    ///
    /// - Parameter onWithdrawal: called once, when any part of the range is unmapped. It may release the pin.
    public func pin(
        address: UInt64, size: UInt64, access: DMAAccess, onWithdrawal: @escaping () -> Void
    ) throws(DMAError) -> Pin {
        try pin(address, size, access, holds: true, onWithdrawal)
    }

    private func pin(
        _ address: UInt64, _ size: UInt64, _ access: DMAAccess, holds: Bool, _ handler: (() -> Void)?
    ) throws(DMAError) -> Pin {
        guard size > 0, size - 1 <= UInt64.max - address else { throw .invalidRange(address: address, size: size) }
        let last = address + (size - 1)
        var pinned = MapTable()
        var next = address
        while true {
            let window = try window(at: next, for: access)
            guard let region = maps.region(at: next) else { throw .notMapped(address: next) }
            let end = min(last, window.last)
            pinned.insert(window.clipped(next, through: end), region)
            if end == last { break }
            next = end + 1
        }
        pinsMade += 1
        return Pin(
            address: address, size: size, access: access, maps: pinned, log: log, gate: gate,
            traffic: traffic, serial: pinsMade, holds: holds, handler: handler)
    }
}

/// The unit of maps. Announced as `pgsizes`.
let pageSize: UInt64 = 4096
