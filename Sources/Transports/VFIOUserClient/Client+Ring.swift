import Linux
import VFIO
import VFIOUserWire

/// Region accesses through the access ring: no system call as long as both sides are busy.
extension Client {
    /// Puts an entry in and waits until it is carried out.
    ///
    /// - Returns: the entry with its status and data.
    func carryOut(_ entry: RingEntry, by ring: RingProducer, _ command: Command) throws(ClientError) -> RingEntry {
        let number = try put(entry, into: ring, command)
        try wait(for: ring, command) { () throws(ClientError) in try ring.isDone(number) }
        let answer = ring.answer(number)
        guard answer.status == 0 else { throw .refused(command, Errno(rawValue: answer.status)) }
        return answer
    }

    /// Puts an entry in, when there is room for it.
    @discardableResult
    func put(_ entry: RingEntry, into ring: RingProducer, _ command: Command) throws(ClientError) -> UInt32 {
        while true {
            if let number = try ring.put(entry) { return number }
            try wait(for: ring, command) { () throws(ClientError) in try ring.hasRoom() }
        }
    }

    private func wait(
        for ring: RingProducer, _ command: Command, until isThere: () throws(ClientError) -> Bool
    ) throws(ClientError) {
        if try isThere() { return }
        if try ringSpin.wait(until: isThere) { return }
        let deadline = Deadline(after: try configuration.patience(for: command))
        var hasSlept: Bool
        repeat {
            hasSlept = try ring.doorbell.sleep(unless: isThere) { () throws(ClientError) in
                try sleep(until: ring.doorbell.event, command, deadline)
            }
        } while hasSlept
    }
}
