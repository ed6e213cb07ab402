/// What there is of rules, and what waits for them: for whoever asks.
public struct InjectionReport: Codable, Equatable, Sendable {
    public struct Rule: Codable, Equatable, Sendable {
        public var id: Int
        /// As it was written.
        public var rule: String
        /// How many passages it fitted, and how many of these it has altered.
        public var met: UInt64
        public var altered: UInt64
    }

    /// A passage that waits.
    public struct Waiting: Codable, Equatable, Sendable {
        public var id: Int
        /// The number of the rule.
        public var rule: Int
        /// What it is, and where.
        public var what: String
        /// When it goes on at the latest.
        public var milliseconds: UInt64
    }

    public var rules: [Rule]
    public var waiting: [Waiting]
    /// The number of the rule that was added, or how many went on.
    public var done: Int?

    public init(rules: [Rule] = [], waiting: [Waiting] = [], done: Int? = nil) {
        self.rules = rules
        self.waiting = waiting
        self.done = done
    }
}

extension Injector {
    public var report: InjectionReport {
        let now = clock()
        return InjectionReport(
            rules: entries.map {
                .init(id: $0.id, rule: $0.rule.text, met: $0.counter.met, altered: $0.altered)
            },
            waiting: waitingRoom.guests.map {
                .init(
                    id: $0.id, rule: $0.rule, what: $0.what, milliseconds: ($0.due > now ? $0.due - now : 0) / 1_000_000
                )
            })
    }
}
