/// Spaces out the pictures of a head, so that it shows no more of them a second than it may.
///
/// Each picture has a moment of its own, one after the other: a driver that waits for one of them before it draws the
/// next but one, or even further ahead, draws as many as are shown, and none is drawn for nothing.
struct FramePacer {
    /// How many pictures may wait for their moment. Whoever is further ahead doesn't wait for pictures, and has the
    /// last ones shown as one.
    static let depth: UInt64 = 4

    /// The moment of the latest picture; nil: there was none yet.
    private var latest: UInt64?

    /// Gives a picture its moment.
    ///
    /// - Parameters:
    ///   - rate: how many pictures there may be a second, at least 1.
    ///   - now: in nanoseconds, from any moment on.
    /// - Returns: `now`, or a later moment at which it is to be shown.
    mutating func moment(at rate: Int, now: UInt64) -> UInt64 {
        guard let latest else {
            self.latest = now
            return now
        }
        let interval = 1_000_000_000 / UInt64(max(1, rate))
        let next = max(now, latest &+ interval)
        guard next &- now <= Self.depth * interval else { return latest }
        self.latest = next
        return next
    }
}
