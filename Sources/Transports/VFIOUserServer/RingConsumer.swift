import Linux
import VFIOUserWire

/// The server's end of an access ring: takes entries out in their order and puts the answers into their slots.
final class RingConsumer {
    /// The client broke the ring's rules. Only its session suffers.
    struct Violation: Error, CustomStringConvertible {
        let head: UInt32
        let tail: UInt32

        var description: String {
            "its access ring says that \(tail &- head) accesses wait (tail \(tail), head \(head)), of at most \(RingMemory.slots)"
        }
    }

    private let memory: RingMemory
    /// Rung by the client when the server sleeps.
    let doorbell: EventFD
    /// Rung for the client when it sleeps.
    private let clientDoorbell: EventFD
    /// How many entries were carried out. The header's copy is for the client; what it makes of it doesn't matter.
    private var head: UInt32 = 0

    init() throws(Errno) {
        memory = try RingMemory()
        doorbell = try EventFD()
        clientDoorbell = try EventFD()
    }

    /// For the client: the memory, the eventfd that wakes the server, the eventfd that wakes the client.
    var descriptors: [Int32] {
        [memory.file.descriptor.raw, doorbell.descriptor.raw, clientDoorbell.descriptor.raw]
    }

    /// Whether an entry waits.
    var hasEntries: Bool { memory.acquire(.tail) != head }

    /// Carries out what waits, as many entries as the ring holds at most.
    ///
    /// - Parameter carryOut: does what an entry says, and sets its status and data.
    /// - Returns: how many there were.
    func drain(_ carryOut: (inout RingEntry) -> Void) throws(Violation) -> Int {
        let tail = memory.acquire(.tail)
        let waiting = tail &- head
        guard waiting > 0 else { return 0 }
        guard waiting <= RingMemory.slots else { throw Violation(head: head, tail: tail) }
        for _ in 0..<waiting {
            var entry = memory.load(head)
            carryOut(&entry)
            memory.store(entry, head)
            head &+= 1
            memory.release(.head, head)
            if entry.kind == .read { wakeClient() }
        }
        // Whoever waits for a write, or for room, waits for no particular moment.
        wakeClient()
        return Int(waiting)
    }

    private func wakeClient() {
        if memory.takeSleeper(.clientAsleep) { clientDoorbell.signal() }
    }

    /// Says that the client must ring from now on.
    ///
    /// - Returns: false when an entry waits already: there is nothing to sleep for.
    func prepareToSleep() -> Bool {
        memory.announceSleep(.serverAsleep)
        guard hasEntries else { return true }
        wakeUp()
        return false
    }

    /// Ends what ``prepareToSleep()`` began.
    func wakeUp() {
        memory.release(.serverAsleep, 0)
        doorbell.consume()
    }
}
