import Linux
import SharedRing
import VFIOUserWire

/// The client's end of an access ring: puts entries in and finds their answers.
final class RingProducer {
    private let memory: RingMemory
    // Nothing that a cursor does comes back to it.
    @exclusivity(unchecked) private var cursor: ProducerCursor
    /// The client's, for when it sleeps.
    let doorbell: RingDoorbell
    private let serverDoorbell: RingDoorbell

    /// - Parameter descriptors: the three that came with the version message, from `index` on.
    /// - Throws: `.invalidArgument` when they are not a ring's.
    init(_ descriptors: inout ReceivedDescriptors, at index: Int) throws(Errno) {
        guard let file = descriptors.take(index), let toServer = descriptors.take(index + 1),
            let toClient = descriptors.take(index + 2)
        else { throw .invalidArgument }
        memory = try RingMemory(adopting: file)
        cursor = ProducerCursor(memory.ring, capacity: RingMemory.slots)
        serverDoorbell = RingDoorbell(.consumerAsleep, of: memory.ring, event: try EventFD(adopting: toServer))
        doorbell = RingDoorbell(.producerAsleep, of: memory.ring, event: try EventFD(adopting: toClient))
    }

    /// Puts an entry in when there is room.
    ///
    /// - Returns: its number, or nil while the ring is full.
    /// - Throws: as ``isDone(_:)``.
    func put(_ entry: RingEntry) throws(ClientError) -> UInt32? {
        guard try hasRoom() else { return nil }
        let number = cursor.tail
        memory.store(entry, number)
        cursor.put(1)
        serverDoorbell.ring()
        return number
    }

    /// Whether entry number `number`, one of the last, has been carried out.
    ///
    /// - Throws: `.disconnected` when the server says to have carried out what was never put in.
    func isDone(_ number: UInt32) throws(ClientError) -> Bool {
        do throws(RingViolation) { return try cursor.isTaken(number) } catch { throw .disconnected }
    }

    /// The answer to an entry that is done, until another takes its slot.
    func answer(_ number: UInt32) -> RingEntry {
        memory.load(number)
    }

    /// Whether an entry could be put in.
    func hasRoom() throws(ClientError) -> Bool {
        do throws(RingViolation) { return try cursor.hasRoom(for: 1) } catch { throw .disconnected }
    }
}
