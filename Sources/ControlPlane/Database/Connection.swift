import CSQLite
import Glibc
import Linux

/// An open database. One thread at a time: whoever shares it brings the lock.
struct Connection: ~Copyable {
    // SAFETY: owned by this value from `sqlite3_open_v2` to `sqlite3_close_v2`.
    private let handle: OpaquePointer

    /// How long to wait for another program, such as an administrator's `sqlite3`, that is changing the database.
    private static let patience = Duration.seconds(2)

    private init(owning handle: OpaquePointer) {
        self.handle = handle
    }

    /// Opens a database, in which a transaction is on the disk when it is committed, and readers disturb nobody.
    ///
    /// - Parameter path: of a file that is made unless it is there, for this user alone; nil: in memory.
    init(path: String?) throws(DatabaseError) {
        if let path { try Self.makeFile(path) }
        var handle: OpaquePointer?
        let flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE
        let code = sqlite3_open_v2(path ?? ":memory:", &handle, flags, nil)
        guard code == SQLITE_OK, let handle else {
            let error = DatabaseError(code, on: handle, nil)
            // Even one that can't be opened is to be closed.
            sqlite3_close_v2(handle)
            throw error
        }
        sqlite3_busy_timeout(handle, Self.patience.inMilliseconds)
        let connection = Connection(owning: handle)
        try connection.run("PRAGMA foreign_keys = ON")
        try connection.run("PRAGMA journal_mode = WAL")
        try connection.run("PRAGMA synchronous = FULL")
        try connection.check()
        self = connection
    }

    deinit {
        sqlite3_close_v2(handle)
    }

    /// SQLite would make the file for everybody to read. What it puts beside it gets the same permissions. A file that
    /// is there is not even opened: closing it would end the locks that this process has on it, `fcntl_locking(2)`.
    private static func makeFile(_ path: String) throws(DatabaseError) {
        let raw = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard raw >= 0 else {
            if errno == EEXIST { return }
            throw .file(path: path, Errno(rawValue: errno))
        }
        close(raw)
    }

    /// A damaged database is refused here, and not in the middle of a change some day.
    private borrowing func check() throws(DatabaseError) {
        let sql: StaticString = "PRAGMA quick_check(1)"
        let findings = try rows(sql) { row throws(DatabaseError) in try row.column(0) as String }
        guard findings == ["ok"] else {
            let path = sqlite3_db_filename(handle, "main").map { String(cString: $0) } ?? ""
            throw .sqlite(
                DatabaseError.Refusal(
                    code: SQLITE_CORRUPT, message: findings.joined(separator: " "), path: path, statement: "\(sql)"))
        }
    }

    borrowing func prepare(_ sql: StaticString) throws(DatabaseError) -> Statement {
        try Statement(sql, on: handle)
    }

    /// Runs one statement to its end.
    ///
    /// - Parameter values: for the parameters `?1`, `?2` …
    borrowing func run(_ sql: StaticString, _ values: [any ColumnValue] = []) throws(DatabaseError) {
        let statement = try prepare(sql)
        try statement.bind(values)
        while try statement.step() {}
    }

    /// What a query finds.
    borrowing func rows<Row>(
        _ sql: StaticString, _ values: [any ColumnValue] = [],
        _ read: (borrowing Statement) throws(DatabaseError) -> Row
    ) throws(DatabaseError) -> [Row] {
        let statement = try prepare(sql)
        try statement.bind(values)
        var rows: [Row] = []
        while try statement.step() { rows.append(try read(statement)) }
        return rows
    }

    /// Runs several statements that have neither parameters nor results.
    borrowing func runScript(_ sql: StaticString) throws(DatabaseError) {
        // SAFETY: a literal ends with a zero, and lives as long as the program.
        let code = sql.withUTF8Buffer { bytes in
            bytes.withMemoryRebound(to: CChar.self) { sqlite3_exec(handle, $0.baseAddress, nil, nil, nil) }
        }
        guard code == SQLITE_OK else { throw DatabaseError(code, on: handle, sql) }
    }

    /// Makes all of a change, or nothing of it. "Transaction", sqlite.org/lang_transaction.html
    borrowing func transaction<Result>(
        _ body: (borrowing Connection) throws(DatabaseError) -> Result
    ) throws(DatabaseError) -> Result {
        // Waits for other writers here, where it may: later it would fail with part of the work done.
        try run("BEGIN IMMEDIATE")
        do throws(DatabaseError) {
            let result = try body(self)
            try run("COMMIT")
            return result
        } catch {
            // Some errors, a full disk among them, have ended it already.
            if sqlite3_get_autocommit(handle) == 0 { try? run("ROLLBACK") }
            throw error
        }
    }
}
