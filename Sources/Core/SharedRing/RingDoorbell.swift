import Linux
import Synchronization

/// How one side of a ring sleeps, and is woken by the other: a flag in the header, and an eventfd.
///
/// Who is about to sleep sets the flag, makes a fence, and looks once more for what it waits for. Who has put something
/// in, or taken it out, makes a fence and looks at the flag. So at least one of them sees what the other has done, and
/// nobody sleeps for ever. While both are busy, none enters the kernel. What a hostile side does with either wakes the
/// other once too often, or not itself.
public struct RingDoorbell: Sendable {
    @usableFromInline let memory: SharedRing
    @usableFromInline let flag: SharedRing.Field
    /// Readable when it was rung.
    public let event: EventFD

    /// - Parameter flag: `.consumerAsleep` or `.producerAsleep`: whose doorbell it is.
    public init(_ flag: SharedRing.Field, of ring: SharedRing, event: EventFD) {
        memory = ring
        self.flag = flag
        self.event = event
    }

    // MARK: The side that sleeps

    /// Says that the other side must ring from now on.
    ///
    /// - Returns: false when what is waited for is there already: there is nothing to sleep for.
    @inlinable public func prepareToSleep<Failure: Error>(
        unless isThere: () throws(Failure) -> Bool
    ) throws(Failure) -> Bool {
        announceSleep()
        var mustSleep = false
        defer { if !mustSleep { wakeUp() } }
        mustSleep = try !isThere()
        return mustSleep
    }

    /// Ends what ``prepareToSleep(unless:)`` began.
    @inlinable public func wakeUp() {
        memory.release(flag, 0)
        event.consume()
    }

    /// Sleeps until the other side rings, unless what is waited for is there already. Looks but once: who wants to look
    /// for some time before does so with a `SpinBudget`.
    ///
    /// - Parameter block: returns when ``event`` is readable, or for any other reason.
    /// - Returns: whether it has slept.
    @inlinable public func sleep<Failure: Error>(
        unless isThere: () throws(Failure) -> Bool, _ block: () throws(Failure) -> Void
    ) throws(Failure) -> Bool {
        guard try prepareToSleep(unless: isThere) else { return false }
        defer { wakeUp() }
        try block()
        return true
    }

    @inlinable func announceSleep() {
        memory.word(flag).pointee.store(1, ordering: .relaxed)
        atomicMemoryFence(ordering: .sequentiallyConsistent)
    }

    // MARK: The other side

    /// Wakes the side that sleeps and knows nothing of what this side has released. Asked once, it counts as awake.
    @inlinable public func ring() {
        atomicMemoryFence(ordering: .sequentiallyConsistent)
        let word = memory.word(flag)
        guard word.pointee.load(ordering: .relaxed) != 0 else { return }
        word.pointee.store(0, ordering: .relaxed)
        event.signal()
    }
}
