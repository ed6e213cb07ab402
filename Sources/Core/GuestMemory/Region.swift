import Linux

/// A range of addresses and where its bytes are, as look-ups need it: a plain value, no reference counts.
struct Window {
    let start: UInt64
    /// The last address, so that a map may end at 2^64.
    let last: UInt64
    let access: DMAAccess
    /// The byte of `start` in this process; nil when the bytes are in another one.
    let host: UnsafeMutableRawPointer?

    /// Contains no address.
    static var none: Window { Window(start: 1, last: 0, access: [], host: nil) }

    @inline(__always)
    func contains(_ address: UInt64) -> Bool {
        start <= address && address <= last
    }

    /// The part from `start` to `last`, both of which are inside.
    func clipped(_ start: UInt64, through last: UInt64) -> Window {
        // SAFETY: `start` lies inside, so the result points into the same memory. Only pieces of what is
        // mapped here have a host address, and so the distance fits.
        Window(start: start, last: last, access: access, host: host.map { $0 + Int(start - self.start) })
    }
}

/// What is behind one map, kept alive by the address space and by pins.
final class Region {
    let source: Source

    enum Source {
        case file(FileMapping)
        case remote(any RemoteMemory)
    }

    // One thread, and no access to either lasts longer than a statement: checks at run time would find nothing.
    /// Pins that hold an unmap off.
    @exclusivity(unchecked) var holds = 0
    /// Pins that are told of an unmap, by their serial number.
    @exclusivity(unchecked) var watchers: [UInt64: Watcher] = [:]
    /// Whom to tell when the last hold goes; set once the region is unmapped.
    var release: PendingRelease?

    /// A pin removes itself from here before it goes.
    struct Watcher {
        unowned let pin: Pin
    }

    init(_ source: Source) {
        self.source = source
    }
}

/// An unmap that waits for pins of one or more regions.
final class PendingRelease {
    var regions = 0
    let completion: () -> Void

    init(_ completion: @escaping () -> Void) {
        self.completion = completion
    }
}
