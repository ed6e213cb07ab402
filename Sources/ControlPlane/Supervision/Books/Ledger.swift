import Linux
import Mediation

/// The store, behind a thread of its own: changes go there in their order, and whoever waits for the disk is nobody but
/// who has asked for something of it.
final class Ledger: Sendable {
    private let store: any Store
    private let thread: WorkThread
    private let bell = Bell()
    private let log: @Sendable (String) -> Void
    /// Whether the last thing that was only to be told couldn't be.
    private let isMute = Locked(false)
    private let warnings = Locked(Allowance(20, at: SystemClock.nanoseconds))

    /// What is so when something can't be stored, and nothing was done before.
    static let unchanged = "Nothing was changed"

    /// The longest message of a journal's entry, in bytes; the rest is cut off. Device processes have their part in
    /// some.
    private static let messageLimit = 1024

    /// - Parameter log: takes a sentence for the daemon's administrator.
    init(_ store: any Store, log: @escaping @Sendable (String) -> Void) throws(Errno) {
        self.store = store
        self.log = log
        thread = try WorkThread(name: "store")
    }

    // MARK: Changes

    /// Makes a change.
    ///
    /// - Parameters:
    ///   - otherwise: what is so when it can't be made.
    ///   - believe: called when the change is stored, before any later one is made, on the store's thread.
    func commit(
        _ change: StoreChange, otherwise: String = unchanged, believing believe: @escaping @Sendable () -> Void = {}
    ) async throws(MediationError) {
        let change = Self.cutToSize(change)
        try await stored(otherwise) { [bell] store in
            let entries = try store.commit(change)
            believe()
            if let last = entries.last { bell.ring(last.number) }
        }
    }

    private static func cutToSize(_ change: StoreChange) -> StoreChange {
        var change = change
        for index in change.entries.indices where change.entries[index].message.utf8.count > messageLimit {
            let message = change.entries[index].message.utf8.prefix(messageLimit)
            change.entries[index].message = String(decoding: message, as: UTF8.self)
        }
        return change
    }

    /// Takes something into the journal that has no consequence. Where that fails the administrator is told so: once,
    /// until it works again, for what happens may be at somebody's will.
    func tell(_ entries: [JournalEntry]) async {
        guard !entries.isEmpty else { return }
        do throws(MediationError) {
            try await commit(StoreChange(entries: entries), otherwise: "The journal lacks what happens")
            isMute.withLock { $0 = false }
        } catch {
            let isNews = isMute.withLock { isMute in
                defer { isMute = true }
                return !isMute
            }
            if isNews { log("\(error)") }
        }
    }

    func tell(_ kind: JournalEntry.Kind, of id: InstanceID?, _ message: String) async {
        await tell([
            JournalEntry(time: SystemClock.secondsSinceEpoch, instance: id, kind: kind.rawValue, message: message)
        ])
    }

    /// Tells the administrator what the journal can't be told: it may come again and again, as long as the disk fails.
    func warn(_ sentence: String) {
        if warnings.withLock({ $0.take(at: SystemClock.nanoseconds) }) { log(sentence) }
    }

    // MARK: Questions

    /// Asks the store for something, behind all changes that were asked for before.
    ///
    /// - Parameter otherwise: what is so when it can't be used.
    func stored<Value: Sendable>(
        _ otherwise: String = unchanged, _ body: @escaping @Sendable (any Store) throws -> Value
    ) async throws(MediationError) -> Value {
        do { return try await thread.perform { [store] in try body(store) } } catch {
            throw MediationError(.failed, "\(otherwise): the database can't be used. \(error)")
        }
    }

    /// The newest of the journal's entries that concern an instance; nil: that there are.
    func lastEntry(of id: InstanceID?) async throws(MediationError) -> JournalEntry? {
        try await stored { store in try store.journal(after: 0, instance: id, limit: 1).last }
    }

    /// What has happened since. ``Manager/journal(after:instance:limit:waiting:)``
    func journal(
        after number: Int, instance: InstanceID?, limit: Int, waiting wait: Duration
    ) async throws(MediationError) -> (entries: [JournalEntry], last: Int) {
        let end = ContinuousClock.now + wait
        while true {
            let last = bell.last
            let entries = try await stored { store in
                try store.journal(after: number, instance: instance, limit: limit)
            }
            guard entries.isEmpty, ContinuousClock.now < end else {
                // Some may have come since the bell was asked.
                return (entries, max(last, entries.last?.number ?? 0))
            }
            await bell.next(after: last, until: end)
        }
    }

    /// Begins to count behind what an earlier manager has written.
    func load() async throws(MediationError) {
        if let last = try await lastEntry(of: nil) { bell.ring(last.number) }
    }
}
