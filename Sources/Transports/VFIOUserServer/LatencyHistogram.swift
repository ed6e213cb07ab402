import Linux

/// How long accesses took, from when the server had one in hand until its answer was sent: of every 64th of a session.
///
/// Reading the clock twice takes tens of nanoseconds, which an access through an access ring would feel. One in 64 says
/// as much, for accesses come by the thousands. One without a reply counts until it is carried out.
public struct LatencyHistogram: Sendable {
    /// One access in so many is timed.
    public static let interval = 64
    public static let bucketCount = 20

    /// How many accesses took so long. Bucket n holds those that took less than ``upperBound(of:)`` but no less than
    /// that of bucket n - 1.
    public private(set) var buckets = InlineArray<20, UInt64>(repeating: 0)
    /// How many were timed, and how long they took together, in nanoseconds.
    public private(set) var samples: UInt64 = 0
    public private(set) var nanoseconds: UInt64 = 0
    /// How many accesses go by before the next one that is timed.
    private var untimed = interval

    public init() {}

    /// In nanoseconds: 256, 512 and so on to 2^26, about 67 ms. Nil for the last bucket, which takes all else.
    public static func upperBound(of bucket: Int) -> UInt64? {
        (0..<bucketCount - 1).contains(bucket) ? 256 << UInt64(bucket) : nil
    }

    /// To be called with an access in hand.
    ///
    /// - Returns: for ``end(_:)``, which is called when it is answered.
    public mutating func begin() -> UInt64? {
        untimed -= 1
        guard untimed == 0 else { return nil }
        untimed = Self.interval
        return SystemClock.nanoseconds
    }

    public mutating func end(_ start: UInt64?) {
        if let start { record(SystemClock.nanoseconds &- start) }
    }

    mutating func record(_ nanoseconds: UInt64) {
        let bits = UInt64.bitWidth - nanoseconds.leadingZeroBitCount
        buckets[min(max(bits - 8, 0), Self.bucketCount - 1)] &+= 1
        samples &+= 1
        self.nanoseconds &+= nanoseconds
    }

    mutating func add(_ other: LatencyHistogram) {
        for index in buckets.indices { buckets[index] &+= other.buckets[index] }
        samples &+= other.samples
        nanoseconds &+= other.nanoseconds
    }
}
