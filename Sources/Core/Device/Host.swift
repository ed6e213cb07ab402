import Alteration
import GuestMemory
import Linux
import Tap

/// What a device may use of the world, the same under every hypervisor and without one.
///
/// The parts are always there; what is behind them comes and goes with the client: with none
/// connected nothing is mapped, and interrupt messages wait for the next.
public final class Host {
    /// Waits for descriptors and timers on the device's thread.
    public let loop: EventLoop
    /// The guest's memory as the device sees it: by I/O virtual address. Out of reach while the function is no bus
    /// master.
    public let memory: AddressSpace
    /// What the device has of memory itself: behind its BARs, and of its own. It outlives the device.
    public let deviceMemory: DeviceMemory
    /// Whether the guest's memory is files, as far as the device gets at it: another process can map these then.
    public let hasGuestFiles: Bool
    /// The way to the guest's interrupt controller.
    public let interrupts: Interrupts
    /// Who plays the world's part; nil: it is the world itself.
    public let world: (any World)?
    /// Sees what passes between the function and the world; nobody unless one is set.
    @exclusivity(unchecked) public var tap: (any Tap)? {
        didSet {
            memory.traffic.tap = tap
            interrupts.tap = tap
            isWatched = tap != nil || alterer != nil
            loop.onEvent = tap.map { tap in { name, events in tap.note(name, events) } }
        }
    }
    /// Alters what passes; nobody unless one is set.
    @exclusivity(unchecked) public var alterer: (any Alterer)? {
        didSet {
            memory.traffic.alterer = alterer
            interrupts.alterer = alterer
            isWatched = tap != nil || alterer != nil
        }
    }
    /// Whether there is a tap or an alterer: one comparison for both.
    @exclusivity(unchecked) private(set) var isWatched = false
    /// Where the transport's clients come in; nil where there are none, or they can't be kept waiting.
    public weak var entrance: (any Entrance)?
    /// What ``nanoseconds()`` tells: the system's clock, unless somebody plays its part.
    public var clock: () -> UInt64 = { SystemClock.nanoseconds }
    /// Tells the administrator, in a sentence, what has happened to the device. Goes to nobody unless somebody listens.
    public var report: (String) -> Void = { _ in }

    public init(
        loop: EventLoop, memory: AddressSpace = AddressSpace(), deviceMemory: DeviceMemory = DeviceMemory(),
        hasGuestFiles: Bool = true, world: (any World)? = nil
    ) {
        self.world = world
        self.loop = loop
        self.memory = memory
        self.deviceMemory = deviceMemory
        self.hasGuestFiles = hasGuestFiles
        self.interrupts = Interrupts()
    }

    /// The time since an arbitrary moment, in nanoseconds; it doesn't go back. CLOCK_MONOTONIC
    public func nanoseconds() -> UInt64 {
        let now = clock()
        if let tap {
            let seen: InlineArray<1, UInt64> = [now]
            tap.note(.clock, seen.span.bytes)
        }
        return now
    }

    /// Fills `bytes` with random numbers that nobody can foretell. `getrandom(2)`
    public func fillWithRandomNumbers(_ bytes: inout MutableRawSpan) throws(Errno) {
        if let world { world.fill(&bytes) } else { try RandomNumbers.fill(&bytes) }
        tap?.note(.random, bytes.bytes)
    }

    /// Copies what is in memory of the device's own to the front of `bytes`.
    ///
    /// Every look at memory that the guest may write to without the device's knowledge, and that decides what the
    /// device does, goes through here.
    ///
    /// - Parameters:
    ///   - memory: what ``deviceMemory`` has given.
    ///   - offset: in bytes.
    ///   - count: in bytes.
    /// - Returns: false when the bytes don't lie inside the memory, or there is no room for them.
    @discardableResult
    public func look(
        at memory: MappedBytes, from offset: Int, count: Int, into bytes: inout MutableRawSpan
    ) -> Bool {
        world?.willLook(at: memory, from: offset, count: count)
        guard memory.copy(at: offset, count: count, into: &bytes) else { return false }
        if let tap {
            tap.note(
                .look(memory: deviceMemory.name(of: memory) ?? "", offset: offset), bytes.bytes.extracting(0..<count))
        }
        return true
    }
}

extension Tap {
    fileprivate func note(_ name: String, _ events: EventLoop.Events) {
        let ready: InlineArray<1, UInt32> = [events.rawValue.littleEndian]
        note(.event(name), ready.span.bytes)
    }
}
