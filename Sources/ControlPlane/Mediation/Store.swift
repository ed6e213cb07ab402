/// Where instances and the journal are kept. A change is there whole, or not at all, and for good when ``commit(_:)``
/// returns.
public protocol Store: Sendable {
    /// Every instance, in the order of definition.
    func instances() throws -> [Instance]

    /// What the host's boot was when autostarted instances were last started; nil: never.
    func lastBoot() throws -> String?

    /// The greatest generation that was ever stored, also of instances that are gone; 0: none.
    func lastGeneration() throws -> Int

    /// Makes a change.
    ///
    /// - Returns: the journal entries as they were numbered.
    @discardableResult
    func commit(_ change: StoreChange) throws -> [JournalEntry]

    /// The journal behind an entry, oldest first.
    ///
    /// - Parameters:
    ///   - instance: only what concerns it; nil: everything.
    ///   - limit: the most entries; the newest ones count.
    func journal(after number: Int, instance: InstanceID?, limit: Int) throws -> [JournalEntry]
}

/// What belongs together.
public struct StoreChange: Equatable, Sendable {
    public var saved: [Instance] = []
    public var removed: [InstanceID] = []
    public var entries: [JournalEntry] = []
    public var boot: String?

    public init(
        saved: [Instance] = [], removed: [InstanceID] = [], entries: [JournalEntry] = [], boot: String? = nil
    ) {
        self.saved = saved
        self.removed = removed
        self.entries = entries
        self.boot = boot
    }
}

/// Something that happened.
public struct JournalEntry: Equatable, Codable, Sendable {
    /// Counts from 1; 0 for one that is not in the store yet.
    public var number: Int
    /// In seconds since 1970-01-01 00:00 UTC.
    public var time: Double
    public var instance: InstanceID?
    /// One of ``Kind``, or a kind of a device process's own events.
    public var kind: String
    /// A sentence.
    public var message: String

    public enum Kind: String, Sendable {
        case defined, undefined, modified, started, stopped, attached, detached, adopted, died, failed, denied, omitted
    }

    public init(number: Int = 0, time: Double, instance: InstanceID?, kind: String, message: String) {
        self.number = number
        self.time = time
        self.instance = instance
        self.kind = kind
        self.message = message
    }
}
