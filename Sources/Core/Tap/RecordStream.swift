import Linux
import SharedRing

/// A tap that puts all that passes, with all its bytes, into a ring that whoever records empties: ``RecordStreamReader``.
///
/// What finds no room is lost, and a record of kind ``Record/Kind/gap`` says how many passages that was. A lossless
/// stream waits for room before, as long as its ``WaitBudget`` allows.
///
/// The ring holds bytes, one record behind the other. What an access has led to is shown with it, when it is over. Who
/// takes it out is woken when much waits, not for each record.
public final class RecordStream: Tap {
    /// How many bytes wait at most.
    public static let capacity: UInt32 = 4 << 20
    /// The name of the loop's events by which a recording itself goes on. They aren't recorded: it would never end.
    public static let ownEvent = "control: recording"
    /// How much is put in before the other side is woken, in bytes.
    private static let wakeUpAfter: UInt32 = capacity / 8

    /// To be given to whoever reads, with both doorbells' events.
    public let ring: SharedRing
    /// Wakes the reader.
    public let readerBell: RingDoorbell
    /// Wakes the writer when there is room.
    public let writerBell: RingDoorbell
    private let isLossless: Bool
    private var cursor: ProducerCursor
    /// How much of the ring is written and not shown yet, in bytes.
    private var hidden: UInt32 = 0
    private var sinceWakeUp: UInt32 = 0
    /// How many passages were lost since the last record.
    private var lost: UInt64 = 0
    private var budget = WaitBudget()
    /// The time in nanoseconds, from any moment on.
    var clock: () -> UInt64 = { SystemClock.nanoseconds }
    /// Returns when ``writerBell`` is rung, and after so long at the latest.
    var sleep: (Duration) -> Void
    /// The number of the next passage.
    public private(set) var next: UInt64 = 0
    /// Whether the reader broke the ring's rules, so that nothing more is written.
    public private(set) var isBroken = false
    /// Whether no more passages are wanted.
    private var isClosed = false
    /// Whether passages were lost, or another state was restored, since the last state that was recorded, so that nobody
    /// could make of it what comes next.
    public var isStateDue = false
    /// Called when a state is due, when somebody waited for room meanwhile, and when the reader has broken the rules.
    public var onAttention: () -> Void = {}

    private var access = Access.none

    private enum Access {
        /// Nothing is being carried out.
        case none
        /// One is that began at a time, and of which nothing is noted.
        case begun(UInt64, isRead: Bool)
        /// As before, of a read, and its beginning is noted.
        case marked(UInt64)
        /// Its record is at a place in the ring; nil: it found no room.
        case noted(UInt64, at: UInt32?)
    }

    /// - Parameter isLossless: waits for room.
    public init(isLossless: Bool) throws(Errno) {
        ring = try SharedRing(name: "recording", size: Int(Self.capacity))
        readerBell = RingDoorbell(.consumerAsleep, of: ring, event: try EventFD())
        writerBell = RingDoorbell(.producerAsleep, of: ring, event: try EventFD())
        cursor = ProducerCursor(ring, capacity: Self.capacity)
        self.isLossless = isLossless
        let event = writerBell.event
        sleep = { limit in _ = try? waitReadable([event.descriptor.raw], within: limit) }
    }

    // MARK: Tap

    public func note(_ passage: Passage, _ bytes: RawSpan) {
        if isClosed { return }
        if case .event(Self.ownEvent) = passage { return }
        if case .none = access { budget.accessBegins() }
        var record = Record(passage, measuring: bytes)
        record.number = next
        switch (access, passage) {
        case (.begun(let time, isRead: true), .read), (.marked(let time), .read),
            (.begun(let time, isRead: false), .write):
            record.time = time
            access = .noted(time, at: putPassage(&record, bytes))
            return
        case (.begun(let time, isRead: true), _):
            access = .marked(time)
            var beginning = Record(.begin)
            (beginning.number, beginning.time) = (next, time)
            record.time = SystemClock.nanosecondsSinceEpoch
            // Without it nobody could understand what follows.
            guard put(&beginning, RawSpan()) != nil else {
                next &+= 1
                lost &+= 1
                return
            }
        default: record.time = SystemClock.nanosecondsSinceEpoch
        }
        putPassage(&record, bytes)
        if case .restored = passage {
            isStateDue = true
            onAttention()
        }
        // What an access has led to is shown with it.
        if case .none = access { show() }
    }

    public func accessBegins(isRead: Bool) {
        budget.accessBegins()
        access = .begun(SystemClock.nanosecondsSinceEpoch, isRead: isRead)
    }

    public func accessEnds() {
        if case .noted(let time, let place?) = access, place &- cursor.tail < hidden {
            // 0 says that there is none.
            let latency = UInt32(clamping: max(1, SystemClock.nanosecondsSinceEpoch &- time)).littleEndian
            let bytes: InlineArray<1, UInt32> = [latency]
            ring.store(bytes.span.bytes, at: place &+ 48, of: Self.capacity)
        }
        // A read that the device has lived and that was refused then is no passage. A fresh state follows.
        if case .marked = access { lost &+= 1 }
        access = .none
        show()
    }

    // MARK: What the recording itself says

    /// Puts a record in if half of the ring stays free for what passes meanwhile.
    ///
    /// - Returns: false when it doesn't; ``writerBell`` is how to wait for it.
    public func offer(_ record: Record) -> Bool {
        guard isHalfFree else { return false }
        var record = record
        let bytes = record.bytes
        guard put(&record, bytes.span.bytes) != nil else { return false }
        if case .none = access { show() }
        return true
    }

    /// Whether ``offer(_:)`` would do it now, or never will.
    public var takesOffers: Bool { isHalfFree || isBroken }

    /// No more passages are recorded from now on, only what is offered.
    ///
    /// - Returns: the number of the passage that would come next.
    public func close() -> UInt64 {
        isClosed = true
        return next
    }

    /// Wakes the reader, however little waits for it.
    public func flush() {
        show()
        readerBell.ring()
    }

    // MARK: The ring

    /// Puts the next passage in, or counts it as lost.
    ///
    /// - Returns: where it is.
    @discardableResult
    private func putPassage(_ record: inout Record, _ bytes: RawSpan) -> UInt32? {
        next &+= 1
        let place = put(&record, bytes)
        if place == nil { lost &+= 1 }
        return place
    }

    /// Puts a record in, in as many parts as it needs.
    ///
    /// - Returns: where it is; nil when there is no room for all of it.
    private func put(_ record: inout Record, _ bytes: RawSpan) -> UInt32? {
        guard !isBroken, tellOfGap() else { return nil }
        let place = cursor.tail &+ hidden
        // It may be a part of a longer one itself.
        let (start, isFollowed) = (Int(record.partOffset), record.hasMoreParts)
        var done = 0
        repeat {
            let count = min(bytes.byteCount - done, Record.maximumBytes)
            record.partOffset = UInt32(clamping: start + done)
            record.hasMoreParts = isFollowed || done + count < bytes.byteCount
            guard put(record, bytes.extracting(done..<done + count)) else { return nil }
            done += count
        } while done < bytes.byteCount
        return place
    }

    /// Whether nothing is lost of which no record tells.
    private func tellOfGap() -> Bool {
        guard lost > 0 else { return true }
        guard isHalfFree else { return false }
        var gap = Record(.gap)
        (gap.number, gap.time, gap.count) = (next, SystemClock.nanosecondsSinceEpoch, lost)
        guard put(gap, RawSpan()) else { return false }
        lost = 0
        isStateDue = true
        onAttention()
        return true
    }

    private func put(_ record: Record, _ bytes: RawSpan) -> Bool {
        let nameLength = record.nameLength
        let length = UInt32(Record.headerSize + nameLength + bytes.byteCount)
        guard makeRoom(for: length) else { return false }
        var place = cursor.tail &+ hidden
        let header = record.header(byteCount: bytes.byteCount)
        ring.store(header.span.bytes, at: place, of: Self.capacity)
        place &+= UInt32(Record.headerSize)
        if nameLength > 0 {
            var name = record.name
            name.withUTF8 { name in
                // SAFETY: the text is there for the time of the call.
                let bytes = RawSpan(_unsafeElements: name).extracting(0..<nameLength)
                ring.store(bytes, at: place, of: Self.capacity)
            }
            place &+= UInt32(nameLength)
        }
        ring.store(bytes, at: place, of: Self.capacity)
        hidden &+= length
        return true
    }

    /// Shows the reader what is written.
    private func show() {
        guard hidden > 0 else { return }
        cursor.put(hidden)
        sinceWakeUp &+= hidden
        hidden = 0
        guard sinceWakeUp >= Self.wakeUpAfter else { return }
        sinceWakeUp = 0
        readerBell.ring()
    }

    private var isHalfFree: Bool { hasRoom(for: Self.capacity / 2 + hidden) }

    /// Whether so many bytes are free. A reader that has broken the rules is found out here, and nowhere else.
    private func hasRoom(for count: UInt32) -> Bool {
        guard !isBroken else { return false }
        do throws(RingViolation) {
            return try cursor.hasRoom(for: count)
        } catch {
            isBroken = true
            onAttention()
            return false
        }
    }

    private func makeRoom(for count: UInt32) -> Bool {
        if hasRoom(for: hidden &+ count) { return true }
        // An access that leads to more than there is room for is shown before it is over.
        show()
        if hasRoom(for: count) { return true }
        return isLossless && waitForRoom(count)
    }

    private func waitForRoom(_ count: UInt32) -> Bool {
        readerBell.ring()
        defer { onAttention() }
        while !isBroken {
            let start = clock()
            let left = budget.left(at: start)
            guard left > 0 else { return false }
            if writerBell.prepareToSleep(unless: { hasRoom(for: count) || isBroken }) {
                sleep(.nanoseconds(Int64(left)))
                writerBell.wakeUp()
            }
            let now = clock()
            budget.spend(now &- start, at: now)
            if hasRoom(for: count) { return true }
        }
        return false
    }
}
