import Alteration

/// The access of a session that waits before it is carried out, as whoever alters what passes wants it: a message that
/// stays in the stream, or an entry that stays in the ring.
///
/// No later access overtakes it, and what came meanwhile may wait, too: all that wait one behind the other have the
/// limit of the first, since their client waits for the answers.
final class ParkedAccess {
    enum Place { case message, entry }

    private var parking: Parking?
    private var place = Place.message
    /// Since when those wait that have come one behind the other, in nanoseconds; nil while none does.
    private(set) var start: UInt64?
    /// Where the access is that has waited and is to be carried out now.
    private(set) var letGo: Place?
    /// Whether it has waited for too long to be answered.
    private(set) var isLate = false

    func wait(_ parking: Parking, in place: Place, since now: UInt64) {
        self.parking = parking
        self.place = place
        start = start ?? now
    }

    /// It has waited enough.
    func end(isInTime: Bool) {
        parking = nil
        letGo = place
        isLate = !isInTime
    }

    /// The access that was let go is carried out.
    func take() { letGo = nil }

    /// Nothing is left that has come while another waited.
    func forgetStart() { start = nil }

    func cancel() {
        parking?.cancel()
        parking = nil
    }
}
