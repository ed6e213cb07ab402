import Linux
import SharedRing

/// A tap that puts all that passes, with all its bytes, into a ring that whoever records empties: ``RecordStreamReader``.
///
/// What finds no room is lost, and a record of kind ``Record/Kind/gap`` says how much that was. A lossless stream waits
/// for room before, at most ``longestWait`` each time, and at most ``patience`` in all in which nothing is taken out.
/// Then it waits no more until something is.
///
/// The ring holds bytes, one record behind the other. What an access has led to is shown with it, when it is over. Who
/// takes it out is woken when much waits, not for each record.
public final class RecordStream: Tap {
    /// How many bytes wait at most.
    public static let capacity: UInt32 = 4 << 20
    /// How long a lossless stream waits each time, in nanoseconds.
    public static let longestWait: UInt64 = 100_000_000
    /// How long it waits in all while nothing is taken out, in nanoseconds.
    public static let patience: UInt64 = 1_000_000_000
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
    private var patience = RecordStream.patience
    /// The number of the next passage.
    public private(set) var next: UInt64 = 0
    /// Whether the reader broke the ring's rules, so that nothing more is written.
    public private(set) var isBroken = false
    /// Whether passages were lost, or another state was restored, since the last state that was recorded, so that nobody could make of it what comes next.
    public var isStateDue = false
    /// Called when a state is due, and when somebody waited for room meanwhile.
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
    }

    // MARK: Tap

    public func note(_ passage: Passage, _ bytes: RawSpan) {
        var record = Record(passage, measuring: bytes)
        record.number = next
        switch (access, passage) {
        case (.begun(let time, isRead: true), .read), (.marked(let time), .read),
            (.begun(let time, isRead: false), .write):
            record.time = time
            next &+= 1
            access = .noted(time, at: put(&record, bytes))
            return
        case (.begun(let time, isRead: true), _):
            access = .marked(time)
            var beginning = Record(.begin)
            (beginning.number, beginning.time) = (next, time)
            put(beginning)
            record.time = SystemClock.nanosecondsSinceEpoch
        default: record.time = SystemClock.nanosecondsSinceEpoch
        }
        next &+= 1
        put(&record, bytes)
        if case .restored = passage {
            isStateDue = true
            onAttention()
        }
        // What an access has led to is shown with it.
        if case .none = access { show() }
    }

    public func accessBegins(isRead: Bool) {
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
        guard !isBroken, let isFree = try? cursor.hasRoom(for: Self.capacity / 2 + hidden), isFree else { return false }
        put(record)
        if case .none = access { show() }
        return true
    }

    /// Whether ``offer(_:)`` would do it now.
    public var takesOffers: Bool { (try? cursor.hasRoom(for: Self.capacity / 2 + hidden)) ?? true }

    /// Wakes the reader, however little waits for it.
    public func flush() {
        show()
        readerBell.ring()
    }

    // MARK: The ring

    private func put(_ record: Record) {
        var record = record
        let bytes = record.bytes
        put(&record, bytes.span.bytes)
    }

    /// Puts a record in, in as many parts as it needs, or counts it as lost.
    ///
    /// - Returns: where it is.
    @discardableResult
    private func put(_ record: inout Record, _ bytes: RawSpan) -> UInt32? {
        guard !isBroken, tellOfGap() else {
            lost &+= 1
            return nil
        }
        let place = cursor.tail &+ hidden
        // It may be a part of a longer one itself.
        let (start, isFollowed) = (Int(record.partOffset), record.hasMoreParts)
        var done = 0
        repeat {
            let count = min(bytes.byteCount - done, Record.maximumBytes)
            record.partOffset = UInt32(clamping: start + done)
            record.hasMoreParts = isFollowed || done + count < bytes.byteCount
            guard put(record, bytes.extracting(done..<done + count)) else {
                lost = 1
                return nil
            }
            done += count
        } while done < bytes.byteCount
        return place
    }

    /// Whether nothing is lost of which no record tells.
    private func tellOfGap() -> Bool {
        guard lost > 0 else { return true }
        guard let isFree = try? cursor.hasRoom(for: Self.capacity / 2 + hidden), isFree else { return false }
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

    private func makeRoom(for count: UInt32) -> Bool {
        do throws(RingViolation) {
            if try cursor.hasRoom(for: hidden &+ count) { return true }
            // An access that leads to more than there is room for is shown before it is over.
            show()
            if try cursor.hasRoom(for: count) {
                patience = Self.patience
                return true
            }
            guard isLossless else { return false }
            return try waitForRoom(count)
        } catch {
            isBroken = true
            return false
        }
    }

    private func waitForRoom(_ count: UInt32) throws(RingViolation) -> Bool {
        readerBell.ring()
        let start = SystemClock.nanoseconds
        let before = ring.acquire(.head)
        defer { onAttention() }
        while true {
            let waited = SystemClock.nanoseconds &- start
            guard waited < min(Self.longestWait, patience) else {
                patience = ring.acquire(.head) == before ? patience - min(waited, patience) : Self.patience
                return false
            }
            let left = Duration.nanoseconds(Int64(min(Self.longestWait, patience) - waited))
            let event = writerBell.event.descriptor.raw
            let mustSleep = try writerBell.prepareToSleep { () throws(RingViolation) -> Bool in
                try cursor.hasRoom(for: count)
            }
            if mustSleep {
                _ = try? waitReadable([event], within: left)
                writerBell.wakeUp()
            }
            if try cursor.hasRoom(for: count) {
                patience = Self.patience
                return true
            }
        }
    }
}
