/// How long a lossless stream may wait for its reader: so long for one access, and so long in any stretch of time. What
/// the reader takes out meanwhile gives nothing back: one who takes a little each time would hold a guest for ever.
struct WaitBudget {
    /// For one access with all that it leads to, or one passage outside of any, in nanoseconds.
    static let mostOfAccess: UInt64 = 100_000_000
    /// In ``stretch``, in nanoseconds.
    static let mostInStretch: UInt64 = 1_000_000_000
    /// In nanoseconds.
    static let stretch: UInt64 = slot * UInt64(slots - 1)

    private static let slot: UInt64 = 500_000_000
    /// Any stretch lies in so many slots.
    private static let slots = 11

    private var leftOfAccess = Self.mostOfAccess
    /// What was waited in each of the last slots, in nanoseconds.
    private var waited = InlineArray<11, UInt64>(repeating: 0)
    /// The number of the last slot.
    private var last: UInt64 = 0

    /// Another access begins, or a passage outside of any.
    mutating func accessBegins() {
        leftOfAccess = Self.mostOfAccess
    }

    /// How long may be waited now, in nanoseconds.
    mutating func left(at now: UInt64) -> UInt64 {
        let number = now / Self.slot
        // Slots that have passed since are empty.
        for passed in 0..<min(UInt64(Self.slots), number &- last) {
            waited[Int((number &- passed) % UInt64(Self.slots))] = 0
        }
        last = number
        var sum: UInt64 = 0
        for index in waited.indices { sum += waited[index] }
        return min(leftOfAccess, Self.mostInStretch - min(sum, Self.mostInStretch))
    }

    /// Something was waited, until now.
    mutating func spend(_ time: UInt64, at now: UInt64) {
        _ = left(at: now)
        waited[Int(last % UInt64(Self.slots))] += time
        leftOfAccess -= min(time, leftOfAccess)
    }
}
