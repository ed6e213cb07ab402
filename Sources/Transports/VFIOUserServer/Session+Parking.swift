import Alteration
import Device
import Linux
import Tap
import VFIOUserWire

/// Accesses that wait because somebody who alters what passes wants it so. The loop goes on with all else.
extension Session {
    /// Whether an access is to wait: it comes again when it has waited, and isn't asked about then. Asked only while
    /// the function is watched.
    @inline(never)
    func parks(_ passage: Passage, _ bytes: RawSpan, in place: ParkedAccess.Place = .message) -> Bool {
        guard let alterer = function.host.alterer else { return false }
        guard parked.letGo != place else {
            parked.take()
            return false
        }
        let parking = alterer.parking(of: passage, bytes, since: parked.start) { [weak self] isInTime in
            guard let self else { return }
            parked.end(isInTime: isInTime)
            isHeld = false
            loop.wake()
        }
        guard let parking else { return false }
        parked.wait(parking, in: place, since: SystemClock.nanoseconds)
        isHeld = true
        return true
    }

    /// Goes on with what has come when nothing is held back any more, or some was left in the turn before.
    func goOn() throws(End) {
        // The client has given up, and would take an answer that comes now for one to something else.
        guard !parked.isLate else { throw .refused("an access waited longer than a client waits for its answer") }
        if let place = parked.letGo {
            // It is the same message that is answered now.
            if place == .message, writesDone == 0 { counters.messages &-= 1 }
            if function.host.alterer == nil { parked.take() }
            // What has come meanwhile has waited as well.
            do throws(MessageStream.Failure) { try stream.fillAvailable() } catch { throw .stream(error) }
        }
        try answerAll()
        // What is in a ring comes yet.
        if ring == nil, !isHeld, !isBehind { parked.forgetStart() }
    }
}
