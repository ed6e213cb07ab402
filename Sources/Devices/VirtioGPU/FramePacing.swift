/// The frame rate: what the guest flushes beyond it is shown later, and so is the fence of that flush and of all behind
/// it: a driver that waits for fences, as one with 3D does, draws no faster. Commands without a fence wait for nothing.
struct FramePacing {
    /// Flushed pictures whose moment has not come.
    struct Postponed: Codable, Equatable {
        /// In the host's nanoseconds.
        let moment: UInt64
        let heads: HeadSet
        let due: Due
    }

    /// How many pictures a second each head may show; 0: any number.
    private(set) var rate: Int
    /// By head.
    private var pacers: [FramePacer]
    /// In the order of their moments.
    private(set) var postponed: [Postponed] = []

    init(rate: Int, heads: Int) {
        self.rate = rate
        pacers = Array(repeating: FramePacer(), count: heads)
    }

    /// Whether pictures may have to wait.
    var isLimited: Bool { rate > 0 }

    /// When what is flushed now is to be shown; nil: now.
    mutating func moment(of heads: HeadSet, now: UInt64) -> UInt64? {
        var latest = now
        for index in pacers.indices where heads.contains(index) {
            latest = max(latest, pacers[index].moment(at: rate, now: now))
        }
        return latest > now ? latest : nil
    }

    /// Whether heads show what they have at a moment anyway.
    func isPostponed(_ heads: HeadSet, until moment: UInt64) -> Bool {
        postponed.contains { $0.moment == moment && $0.heads.isSuperset(of: heads) }
    }

    /// Keeps pictures back until their moment.
    ///
    /// - Returns: whether they are the next to be shown.
    mutating func postpone(_ picture: Postponed) -> Bool {
        let index = postponed.firstIndex { $0.moment > picture.moment } ?? postponed.count
        postponed.insert(picture, at: index)
        return index == 0
    }

    /// The next pictures whose moment has come; nil: there are none.
    mutating func takeDue(now: UInt64) -> Postponed? {
        guard let first = postponed.first, first.moment <= now else { return nil }
        return postponed.removeFirst()
    }

    /// All pictures, whose moment it is to be now.
    mutating func takeAll() -> [Postponed] {
        defer { postponed = [] }
        return postponed
    }

    /// After how many nanoseconds the next moment comes, at least 1; 0: nothing waits.
    func alarm(now: UInt64) -> UInt64 {
        guard let first = postponed.first else { return 0 }
        return first.moment > now ? first.moment - now : 1
    }

    /// Nothing that was postponed is shown any more, and the next picture of each head is its first.
    mutating func restart(rate: Int? = nil) {
        postponed = []
        self.rate = rate ?? self.rate
        for index in pacers.indices { pacers[index] = FramePacer() }
    }
}
