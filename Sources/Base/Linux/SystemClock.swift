import Glibc

/// What time it is. `clock_gettime(2)`
public enum SystemClock {
    /// Nanoseconds since the system started, which no setting of the clock changes. `CLOCK_MONOTONIC`
    ///
    /// A moment, not a duration; and a plain number, since accesses are timed by it and devices record it.
    public static var nanoseconds: UInt64 {
        let time = time(of: CLOCK_MONOTONIC)
        return UInt64(time.tv_sec) &* 1_000_000_000 &+ UInt64(time.tv_nsec)
    }

    /// Seconds since 1970-01-01 00:00 UTC. `CLOCK_REALTIME`
    public static var secondsSinceEpoch: Double {
        let time = time(of: CLOCK_REALTIME)
        return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
    }

    /// Nanoseconds since 1970-01-01 00:00 UTC. `CLOCK_REALTIME`
    public static var nanosecondsSinceEpoch: UInt64 {
        let time = time(of: CLOCK_REALTIME)
        return UInt64(time.tv_sec) &* 1_000_000_000 &+ UInt64(time.tv_nsec)
    }

    private static func time(of clock: clockid_t) -> timespec {
        var time = timespec()
        clock_gettime(clock, &time)
        return time
    }
}
