import Linux
import VFIOUserWire

/// The client's end of an access ring: puts entries in and finds their answers.
final class RingProducer {
    private let memory: RingMemory
    /// Rung by the server when the client sleeps.
    let doorbell: EventFD
    private let serverDoorbell: EventFD
    /// How many entries were put in.
    private var tail: UInt32 = 0
    /// How many the server had carried out when last asked.
    private var head: UInt32 = 0

    /// - Parameter descriptors: the three that came with the version message, from `index` on.
    /// - Throws: `.invalidArgument` when they are not a ring's.
    init(_ descriptors: inout ReceivedDescriptors, at index: Int) throws(Errno) {
        guard let file = descriptors.take(index), let toServer = descriptors.take(index + 1),
            let toClient = descriptors.take(index + 2)
        else { throw .invalidArgument }
        memory = try RingMemory(adopting: file)
        serverDoorbell = try EventFD(adopting: toServer)
        doorbell = try EventFD(adopting: toClient)
    }

    /// Puts an entry in when there is room.
    ///
    /// - Returns: its number, or nil while the ring is full.
    /// - Throws: as ``isDone(_:)``.
    func put(_ entry: RingEntry) throws(ClientError) -> UInt32? {
        if tail &- head == RingMemory.slots {
            try lookForHead()
            guard tail &- head < RingMemory.slots else { return nil }
        }
        let number = tail
        memory.store(entry, number)
        tail &+= 1
        memory.release(.tail, tail)
        if memory.takeSleeper(.serverAsleep) { serverDoorbell.signal() }
        return number
    }

    /// Whether entry number `number`, one of the last, has been carried out.
    ///
    /// - Throws: `.disconnected` when the server says to have carried out what was never put in.
    func isDone(_ number: UInt32) throws(ClientError) -> Bool {
        if isBehindHead(number) { return true }
        try lookForHead()
        return isBehindHead(number)
    }

    /// The answer to an entry that is done, until another takes its slot.
    func answer(_ number: UInt32) -> RingEntry {
        memory.load(number)
    }

    /// Whether an entry could be put in.
    func hasRoom() throws(ClientError) -> Bool {
        try lookForHead()
        return tail &- head < RingMemory.slots
    }

    /// Says that the server must ring from now on.
    func prepareToSleep() {
        memory.announceSleep(.clientAsleep)
    }

    /// Ends what ``prepareToSleep()`` began.
    func wakeUp() {
        memory.release(.clientAsleep, 0)
        doorbell.consume()
    }

    private func isBehindHead(_ number: UInt32) -> Bool {
        head &- number &- 1 < RingMemory.slots
    }

    private func lookForHead() throws(ClientError) {
        let now = memory.acquire(.head)
        guard now &- head <= tail &- head else { throw .disconnected }
        head = now
    }
}
