import Linux

/// A tap that keeps the last passages in memory for whoever watches: it waits for nobody, allocates nothing but for a
/// name that is new, and makes no system call but to look at the clock, which none is.
///
/// The memory is a file that others can map for reading alone. ``EventReader`` is how they read it.
public final class EventRecorder: Tap {
    /// How many events are kept unless told otherwise.
    public static let standardCapacity = 16_384
    /// How much memory that takes, in bytes.
    public static let standardBytes = EventRing.size(capacity: standardCapacity)

    /// For watchers: whoever gets its descriptor can only read it.
    public let file: MemoryFile
    private let ring: EventRing
    /// The number of the next event.
    private var next: UInt64 = 0
    private var names: [String: UInt8] = [:]
    /// When the access began that is being carried out; nil between two.
    private var begun: UInt64?
    /// The event that tells of it.
    private var access: UInt64?
    /// Whether somebody watches: nothing is missing then, for which large accesses are slower. Otherwise the bytes of
    /// DMA, lines, random numbers and memory aren't kept, which may be secrets: only how many there were.
    public var seesAll = true

    /// - Parameter capacity: how many events are kept: a power of two, at most 2²⁰.
    /// - Throws: `.invalidArgument` for another capacity; what the system says of the memory.
    public init(capacity: Int = standardCapacity) throws(Errno) {
        guard capacity > 0, capacity <= EventRing.maximumCapacity, capacity & (capacity - 1) == 0 else {
            throw .invalidArgument
        }
        file = try MemoryFile(name: "events", size: EventRing.size(capacity: capacity), isOwnAlone: true)
        ring = EventRing(memory: file, capacity: capacity)
        file.publish(UInt64(capacity), at: EventRing.Place.capacity)
        let clock = SystemClock.nanosecondsSinceEpoch &- SystemClock.nanoseconds
        file.publish(clock, at: EventRing.Place.clock)
        file.publish(EventRing.magic, at: EventRing.Place.magic)
    }

    // MARK: Tap

    public func note(_ passage: Passage, _ bytes: RawSpan) {
        var event = Event(passage, bytes)
        event.number = next
        if !seesAll { event.dropContents() }
        switch event.kind {
        case .read, .write:
            event.time = begun ?? SystemClock.nanoseconds
            access = next
        default: event.time = SystemClock.nanoseconds
        }
        ring.write(event, name: event.name.isEmpty ? 0 : number(ofName: event.name))
        next &+= 1
        if seesAll, event.kind.hasRest { keepRest(of: bytes) }
        // What an access has led to is shown with it, when it is over.
        if begun == nil { show() }
    }

    private func keepRest(of bytes: RawSpan) {
        let end = min(bytes.byteCount, Event.bytesKept + Event.restKept)
        for start in stride(from: Event.bytesKept, to: end, by: EventRing.restSize) {
            ring.write(rest: bytes.extracting(start..<min(start + EventRing.restSize, end)), to: next)
            next &+= 1
        }
    }

    public func accessBegins(isRead: Bool) {
        begun = SystemClock.nanoseconds
        access = nil
    }

    public func accessEnds() {
        guard let begun else { return }
        self.begun = nil
        if let access {
            // 0 says that there is none yet.
            let latency = max(1, SystemClock.nanoseconds &- begun)
            ring.setLatency(UInt32(clamping: latency), ofEvent: access)
        }
        show()
    }

    private func show() {
        file.publish(next, at: EventRing.Place.written)
    }

    // MARK: Names

    /// The number of a name and 1; 0 when there is no room for another.
    private func number(ofName name: String) -> UInt8 {
        if let number = names[name] { return number }
        let index = names.count
        guard index < EventRing.maximumNames else { return 0 }
        let bytes = Array(name.utf8.prefix(EventRing.nameSize - 1))
        file.replace(at: EventRing.Place.name(index), with: ([UInt8(bytes.count)] + bytes).span.bytes)
        file.publish(UInt64(index + 1), at: EventRing.Place.nameCount)
        names[name] = UInt8(index + 1)
        return UInt8(index + 1)
    }
}
