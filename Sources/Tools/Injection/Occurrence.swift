/// Which of the passages that a rule fits are altered.
struct Occurrence: Equatable, Sendable {
    /// From which one on, from 1.
    var first: UInt64 = 1
    /// Every so many of them from there on.
    var every: UInt64 = 1
    /// With which probability, in millionths.
    var chance: UInt64 = Self.always
    /// Of the random numbers that decide. The same ones come with the same seed.
    var seed: UInt64 = 0
    /// How many at most; nil: any number.
    var times: UInt64?

    static let always: UInt64 = 1_000_000
}

/// Counts what a rule has met.
struct OccurrenceCounter {
    private let occurrence: Occurrence
    private var random: RandomSequence
    /// How many passages there were that the rule fits.
    private(set) var met: UInt64 = 0
    private var chosen: UInt64 = 0

    init(_ occurrence: Occurrence) {
        self.occurrence = occurrence
        random = RandomSequence(seed: occurrence.seed)
    }

    /// Whether it is the turn of the one that is there now.
    mutating func isDue() -> Bool {
        met &+= 1
        guard met >= occurrence.first, (met - occurrence.first) % occurrence.every == 0 else { return false }
        if let times = occurrence.times, chosen >= times { return false }
        guard occurrence.chance == Occurrence.always || random.next() % Occurrence.always < occurrence.chance else {
            return false
        }
        chosen &+= 1
        return true
    }

    /// Which of some bits is turned over.
    mutating func anyBit() -> UInt64 { random.next() }
}

/// Numbers that look random and are the same for the same seed. SplitMix64
struct RandomSequence {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var number = state
        number = (number ^ number >> 30) &* 0xbf58_476d_1ce4_e5b9
        number = (number ^ number >> 27) &* 0x94d0_49bb_1331_11eb
        return number ^ number >> 31
    }
}
