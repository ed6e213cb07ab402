import Linux
import Mediation

/// A ``Store`` in an SQLite file. A change is one transaction, which is on the disk when ``commit(_:)`` returns.
///
/// One process at a time has it open: a lock on the file `PATH.lock` says so, and ends with the process. Reading it
/// meanwhile with the `sqlite3` tool does no harm.
public final class Database: Store, Sendable {
    /// How many of the newest entries the journal keeps.
    public static let standardJournalLimit = 100_000

    private let connection: Locked<Connection>
    /// Nil for a database in memory.
    private let lock: FileLock?
    private let journalLimit: Int

    /// - Parameters:
    ///   - connection: that nobody else uses.
    ///   - path: for what is said of it.
    init(
        _ connection: consuming sending Connection, path: String = ":memory:", lock: consuming FileLock? = nil,
        journalLimit: Int = standardJournalLimit
    ) throws(DatabaseError) {
        try connection.migrate(Schema.migrations, path: path)
        self.connection = Locked(connection)
        self.lock = lock
        self.journalLimit = max(1, journalLimit)
    }

    /// Opens a database, and makes it unless it is there.
    ///
    /// - Parameters:
    ///   - path: its folder must exist.
    ///   - journalLimit: how many entries the journal keeps, at least 1.
    public convenience init(path: String, journalLimit: Int = standardJournalLimit) throws(DatabaseError) {
        let lock = try Self.lock(path)
        try self.init(Connection(path: path), path: path, lock: lock, journalLimit: journalLimit)
    }

    /// A database in memory, which is gone with this value.
    public convenience init() throws(DatabaseError) {
        try self.init(Connection(path: nil))
    }

    private static func lock(_ path: String) throws(DatabaseError) -> FileLock {
        let path = (database: path, lock: "\(path).lock")
        do throws(Errno) { return try FileLock(path: path.lock, within: .seconds(1)) } catch {
            throw error == .wouldBlock ? .inUse(path: path.database) : .file(path: path.lock, error)
        }
    }

    // MARK: Store

    public func instances() throws(DatabaseError) -> [Instance] {
        try connection.withLock { connection throws(DatabaseError) in try connection.instances() }
    }

    public func lastBoot() throws(DatabaseError) -> String? {
        try connection.withLock { connection throws(DatabaseError) in try connection.lastBoot() }
    }

    public func lastGeneration() throws(DatabaseError) -> Int {
        try connection.withLock { connection throws(DatabaseError) in try connection.lastGeneration() }
    }

    @discardableResult
    public func commit(_ change: StoreChange) throws(DatabaseError) -> [JournalEntry] {
        try connection.withLock { connection throws(DatabaseError) in
            try connection.transaction { connection throws(DatabaseError) in
                for id in change.removed { try connection.remove(id) }
                for instance in change.saved { try connection.save(instance) }
                if let boot = change.boot { try connection.setLastBoot(boot) }
                return try connection.append(change.entries, keeping: journalLimit)
            }
        }
    }

    public func journal(
        after number: Int, instance: InstanceID?, limit: Int
    ) throws(DatabaseError) -> [JournalEntry] {
        try connection.withLock { connection throws(DatabaseError) in
            try connection.journal(after: number, instance: instance, limit: limit)
        }
    }
}
