/// How often something may be done: some times at once, then once a second. A token bucket.
public struct Allowance: Sendable {
    /// In nanoseconds.
    private static let interval: UInt64 = 1_000_000_000

    /// How many times in a row it was not allowed.
    public private(set) var refused = 0
    private let burst: Int
    private var left: Int
    /// Up to when the passing time has been made up for.
    private var time: UInt64

    /// - Parameters:
    ///   - burst: how many times at once.
    ///   - now: the time in nanoseconds, from any moment on.
    public init(_ burst: Int, at now: UInt64) {
        self.burst = burst
        left = burst
        time = now
    }

    /// Whether it is allowed once more.
    ///
    /// - Parameter now: the time in nanoseconds, from the same moment on.
    public mutating func take(at now: UInt64) -> Bool {
        let earned = (now &- time) / Self.interval
        time &+= earned &* Self.interval
        left = Int(min(UInt64(burst), UInt64(left) + min(earned, UInt64(burst))))
        guard left > 0 else {
            refused += 1
            return false
        }
        left -= 1
        refused = 0
        return true
    }
}
