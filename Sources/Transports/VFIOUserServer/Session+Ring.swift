import Device
import Linux
import SharedRing
import VFIO
import VFIOUserWire

/// A client's access ring, when it has one, is carried out before each message and between them.
extension Session {
    /// Makes a ring, from the version message on.
    func openRing() throws(Errno) -> RingConsumer {
        let ring = try RingConsumer()
        // The loop's own receive knows nothing of rings: from now on the loop watches the socket as all else.
        loop.endReceiving()
        socketWatch = try loop.watch("messages", stream.socket.descriptor, for: .readable) { [unowned self] _ in
            hasArrivals = true
        }
        ringWatch = try loop.watch("access ring", ring.doorbell.event.descriptor, for: .readable) { [unowned ring] _ in
            ring.doorbell.wakeUp()
        }
        self.ring = ring
        return ring
    }

    func closeRing() {
        if let socketWatch { loop.unwatch(socketWatch) }
        if let ringWatch { loop.unwatch(ringWatch) }
        ring = nil
    }

    /// How many accesses of a busy ring are carried out before all else is looked after: about so many, as those that
    /// are in the ring are carried out at a stroke.
    private static let accessesBeforeDispatch = 64

    /// Carries out what is in the ring; with nothing there, waits for anything.
    func serve(_ ring: RingConsumer, isPolling: Bool) throws(End) {
        let count = try carryOutRing()
        if isHeld { return }
        if count == 0 {
            parked.forgetStart()
            let isThere = try keepingRules { () throws(RingViolation) in
                try spin.wait { () throws(RingViolation) in try ring.hasEntries() }
            }
            if !isThere { try dispatch(ring, isSleeping: !isPolling) }
        } else {
            ringAccesses += count
            // Whoever makes the device wait for memory doesn't make all else wait again and again.
            guard ringAccesses >= Self.accessesBeforeDispatch || dma.hasAsked else { return }
            ringAccesses = 0
            try dispatch(ring, isSleeping: false)
        }
    }

    private func dispatch(_ ring: RingConsumer, isSleeping: Bool) throws(End) {
        var sleeps = false
        if isSleeping {
            sleeps = try keepingRules { () throws(RingViolation) in
                try ring.doorbell.prepareToSleep { () throws(RingViolation) in try ring.hasEntries() }
            }
        }
        do throws(Errno) {
            try loop.dispatch(within: sleeps ? nil : .zero)
        } catch {
            throw .stream(.system(error))
        }
        if sleeps { ring.doorbell.wakeUp() }
        guard hasArrivals else { return }
        hasArrivals = false
        do throws(MessageStream.Failure) {
            try stream.fillAvailable()
        } catch {
            throw .stream(error)
        }
        try answerAll()
    }

    /// What the client put into its ring before it sent the message in hand comes before the message, and what it puts
    /// there while the message is carried out comes after it.
    ///
    /// - Returns: whether it is the message's turn.
    @inline(never)
    func carryOutRingFirst() throws(End) -> Bool {
        if writesDone == 0, parked.letGo != .message { try carryOutRing() }
        return !isHeld
    }

    /// Carries out what is in the ring, if there is one.
    ///
    /// - Returns: how many accesses.
    @discardableResult
    func carryOutRing() throws(End) -> Int {
        guard let ring else { return 0 }
        return try keepingRules { () throws(RingViolation) in try ring.drain { carryOut(&$0) } }
    }

    /// Looks into the ring. Of a client that breaks its rules only the session suffers.
    @inline(__always)
    private func keepingRules<Result>(_ look: () throws(RingViolation) -> Result) throws(End) -> Result {
        do throws(RingViolation) {
            return try look()
        } catch {
            throw .refused("it breaks the rules of its access ring: \(error)")
        }
    }

    /// - Returns: whether it is carried out; false when it is to wait.
    private func carryOut(_ entry: inout RingEntry) -> Bool {
        if function.isWatched, parks(entry) { return false }
        counters.ringAccesses &+= 1
        let start = counters.latency.begin()
        defer { counters.latency.end(start) }
        do {
            guard let kind = entry.kind, let range = entry.dataRange else { throw Errno.invalidArgument }
            let (region, offset) = (entry.region, entry.offset)
            switch kind {
            case .read:
                var words = entry.words.mutableSpan
                var bytes = words.mutableBytes
                var data = bytes._mutatingExtracting(range)
                try read(region: region, offset: offset, into: &data, by: .ring)
            case .write:
                try write(region: region, offset: offset, entry.words.span.bytes.extracting(range), by: .ring)
            }
            counters.ringReadsAndWrites[region] &+= 1
            entry.status = 0
        } catch {
            counters.errors &+= 1
            entry.status = Self.errno(for: error).rawValue
        }
        return true
    }

    @inline(never)
    private func parks(_ entry: RingEntry) -> Bool {
        guard let kind = entry.kind, let range = entry.dataRange else { return false }
        switch kind {
        case .read: return parks(.read(region: entry.region, offset: entry.offset, by: .ring), RawSpan(), in: .entry)
        case .write:
            let words = entry.words
            return parks(
                .write(region: entry.region, offset: entry.offset, by: .ring),
                words.span.bytes.extracting(range), in: .entry)
        }
    }
}
