/// A range of guest memory that a device keeps in use beyond one access: a ring, a picture, a command list.
///
/// It is read and written by the same addresses as the ``AddressSpace`` it comes from. What happens to it when
/// the client unmaps some of it, see ``AddressSpace/pin(address:size:access:onInvalidation:)``.
public final class Pin: MappedMemory {
    public let address: UInt64
    /// In bytes.
    public let size: UInt64
    public let access: DMAAccess
    private let serial: UInt64
    /// Whom to tell of an unmap.
    private var handler: (() -> Void)?
    /// Whether it holds an unmap off.
    private let holds: Bool

    /// Whether it can still be used: nobody has unmapped any of it, and nobody has released it.
    public var isValid: Bool { maps.count > 0 }

    /// - Parameter maps: the parts of the maps that make up the range, nothing more.
    init(
        address: UInt64, size: UInt64, access: DMAAccess, maps: MapTable, log: DirtyLog, gate: Gate,
        traffic: Traffic, serial: UInt64, holds: Bool, handler: (() -> Void)?
    ) {
        self.address = address
        self.size = size
        self.access = access
        self.serial = serial
        self.holds = holds
        self.handler = handler
        super.init(log: log, gate: gate, traffic: traffic)
        self.maps = maps
        gate.add(self, serial)
        maps.forEach { _, region in
            if holds { region.holds += 1 }
            if handler != nil { region.watchers[serial] = Region.Watcher(pin: self) }
        }
    }

    deinit {
        release()
    }

    /// Ends the pin: accesses throw ``DMAError/notMapped(address:)`` from now on, and an unmap that waited for it
    /// goes on. The handler isn't called. Does nothing the second time.
    public func release() {
        let released = maps
        maps = MapTable()
        gate.remove(serial)
        forgetRecent()
        handler = nil
        var completions: [() -> Void] = []
        released.forEach { _, region in
            region.watchers[serial] = nil
            guard holds else { return }
            region.holds -= 1
            guard region.holds == 0, let pending = region.release else { return }
            region.release = nil
            pending.regions -= 1
            if pending.regions == 0 { completions.append(pending.completion) }
        }
        for completion in completions { completion() }
    }

    /// The memory goes away: tells the holder, who can use it for the last time. Ends the pin, unless it holds the
    /// unmap off.
    func invalidate() {
        let handler = handler
        self.handler = nil
        handler?()
        if !holds { release() }
    }
}
