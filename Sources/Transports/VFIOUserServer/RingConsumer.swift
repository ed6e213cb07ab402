import Linux
import SharedRing
import VFIOUserWire

/// The server's end of an access ring: takes entries out in their order and puts the answers into their slots.
final class RingConsumer {
    private let memory: RingMemory
    // Nothing that a cursor does comes back to it.
    @exclusivity(unchecked) private var cursor: ConsumerCursor
    /// The server's, for when it sleeps.
    let doorbell: RingDoorbell
    private let clientDoorbell: RingDoorbell

    init() throws(Errno) {
        memory = try RingMemory()
        cursor = ConsumerCursor(memory.ring, capacity: RingMemory.slots)
        doorbell = RingDoorbell(.consumerAsleep, of: memory.ring, event: try EventFD())
        clientDoorbell = RingDoorbell(.producerAsleep, of: memory.ring, event: try EventFD())
    }

    /// For the client: the memory, the eventfd that wakes the server, the eventfd that wakes the client.
    var descriptors: [Int32] {
        [
            memory.ring.file.descriptor.raw, doorbell.event.descriptor.raw, clientDoorbell.event.descriptor.raw,
        ]
    }

    /// Whether an entry waits.
    func hasEntries() throws(RingViolation) -> Bool { try cursor.waiting() > 0 }

    /// Carries out what waits, as many entries as the ring holds at most.
    ///
    /// - Parameter carryOut: does what an entry says, and sets its status and data; false: this one and those behind
    ///   it are to wait.
    /// - Returns: how many there were.
    func drain(_ carryOut: (inout RingEntry) -> Bool) throws(RingViolation) -> Int {
        let waiting = try cursor.waiting()
        guard waiting > 0 else { return 0 }
        for done in 0..<waiting {
            let number = cursor.head
            var entry = memory.load(number)
            guard carryOut(&entry) else {
                if done > 0 { clientDoorbell.ring() }
                return Int(done)
            }
            memory.store(entry, number)
            cursor.take(1)
            if entry.kind == .read { clientDoorbell.ring() }
        }
        // Whoever waits for a write, or for room, waits for no particular moment.
        clientDoorbell.ring()
        return Int(waiting)
    }
}
