import CSQLite
import Testing

@testable import Database

@Suite struct ConnectionTests {
    private func text(_ connection: borrowing Connection, _ sql: StaticString) throws -> [String] {
        try connection.rows(sql) { row throws(DatabaseError) in try row.column(0) as String }
    }

    @Test func everyKindOfValueReadsBackAsItWasBound() throws {
        let connection = try Connection(path: nil)
        try connection.run("CREATE TABLE t (a ANY, b ANY, c ANY, d ANY, e ANY, f ANY) STRICT")
        let text = "it's \"ä\" \0; DROP TABLE t --"
        try connection.run(
            "INSERT INTO t VALUES (?1, ?2, ?3, ?4, ?5, ?6)", [text, "", 0.1, true, UInt64.max, nil as UInt32?])
        let isSame = try connection.rows("SELECT a, b, c, d, e, f FROM t") { row throws(DatabaseError) in
            #expect(try row.column(0) as String == text)
            #expect(try row.column(1) as String? == "")
            #expect(try row.column(2) as Double == 0.1)
            #expect(try row.column(3) as Bool)
            #expect(try row.column(4) as UInt64 == .max)
            #expect(try row.column(5) as UInt32? == nil)
            return true
        }
        #expect(isSame == [true])
    }

    @Test func aColumnOfAnotherKindIsUnreadable() throws {
        let connection = try Connection(path: nil)
        let sql: StaticString = "SELECT NULL, 'x', 2, 4294967296, 1.5, x'00'"
        func expectUnreadable(_ read: (borrowing Statement) throws(DatabaseError) -> Void) throws {
            let error = #expect(throws: DatabaseError.self) { try connection.rows(sql, [], read) }
            guard case .unreadable(let statement, _, _)? = error else {
                Issue.record("\(error as Any)")
                return
            }
            #expect(statement == "\(sql)")
        }
        try expectUnreadable { row throws(DatabaseError) in _ = try row.column(0) as String }
        try expectUnreadable { row throws(DatabaseError) in _ = try row.column(1) as Int }
        try expectUnreadable { row throws(DatabaseError) in _ = try row.column(2) as Bool }
        try expectUnreadable { row throws(DatabaseError) in _ = try row.column(3) as UInt32 }
        try expectUnreadable { row throws(DatabaseError) in _ = try row.column(3) as UInt32? }
        try expectUnreadable { row throws(DatabaseError) in _ = try row.column(4) as Int64 }
        try expectUnreadable { row throws(DatabaseError) in _ = try row.column(5) as String }
        try expectUnreadable { row throws(DatabaseError) in _ = try row.column(9) as Double }
    }

    @Test func wrongSQLIsRefusedWithItsText() throws {
        let connection = try Connection(path: nil)
        expectRefusal(SQLITE_ERROR, "in \"SELECT nothing FROM nowhere\"") {
            try connection.run("SELECT nothing FROM nowhere")
        }
        expectRefusal(SQLITE_RANGE, "SELECT 1") { try connection.run("SELECT 1", [5]) }
        expectRefusal(SQLITE_ERROR, "nowhere") { try connection.runScript("SELECT 1; SELECT 2 FROM nowhere") }
    }

    @Test func aTransactionThatFailsHasChangedNothing() throws {
        struct Stop: Error {}
        let connection = try Connection(path: nil)
        try connection.run("CREATE TABLE t (a INTEGER UNIQUE) STRICT")
        expectRefusal(SQLITE_CONSTRAINT, "UNIQUE") {
            try connection.transaction { connection throws(DatabaseError) in
                try connection.run("INSERT INTO t VALUES (1), (2)")
                try connection.run("INSERT INTO t VALUES (1)")
            }
        }
        #expect(try text(connection, "SELECT CAST(count(*) AS TEXT) FROM t") == ["0"])
        // And the next one isn't inside of it.
        try connection.transaction { connection throws(DatabaseError) in try connection.run("INSERT INTO t VALUES (3)")
        }
        #expect(try text(connection, "SELECT CAST(a AS TEXT) FROM t") == ["3"])
    }

    @Test func anOpenDatabaseKeepsWhatIsCommitted() throws {
        let folder = try Folder()
        let connection = try Connection(path: folder.database)
        #expect(try text(connection, "PRAGMA journal_mode") == ["wal"])
        let full = try connection.rows("PRAGMA synchronous") { row throws(DatabaseError) in try row.column(0) as Int }
        #expect(full == [2])
        let keys = try connection.rows("PRAGMA foreign_keys") { row throws(DatabaseError) in try row.column(0) as Bool }
        #expect(keys == [true])
    }

    // MARK: Migrations

    private static let first = Migration(version: 1, script: "CREATE TABLE a (x); PRAGMA user_version = 1")
    private static let second = Migration(
        version: 2, script: "CREATE TABLE b (x); INSERT INTO b SELECT x FROM a; PRAGMA user_version = 2")
    private static let broken = Migration(
        version: 2, script: "CREATE TABLE b (x); PRAGMA user_version = 2; INSERT INTO nowhere VALUES (1)")

    private func tables(_ connection: borrowing Connection) throws -> [String] {
        try text(connection, "SELECT name FROM sqlite_schema ORDER BY name")
    }

    @Test func anOlderDatabaseIsBroughtUpToDateWithWhatItHolds() throws {
        let connection = try Connection(path: nil)
        try connection.migrate([Self.first], path: "")
        try connection.run("INSERT INTO a VALUES ('kept')")
        try connection.migrate([Self.first, Self.second], path: "")
        #expect(try text(connection, "SELECT x FROM b") == ["kept"])
        // Nothing is done twice.
        try connection.migrate([Self.first, Self.second], path: "")
        #expect(try text(connection, "SELECT x FROM b") == ["kept"])
    }

    @Test func aMigrationThatFailsLeavesTheVersionBefore() throws {
        let connection = try Connection(path: nil)
        expectRefusal(SQLITE_ERROR, "nowhere") { try connection.migrate([Self.first, Self.broken], path: "") }
        #expect(try tables(connection) == ["a"])
        try connection.migrate([Self.first, Self.second], path: "")
        #expect(try tables(connection) == ["a", "b"])
    }

    @Test func aNewerDatabaseIsLeftAlone() throws {
        let connection = try Connection(path: nil)
        try connection.migrate([Self.first, Self.second], path: "x.db")
        let error = #expect(throws: DatabaseError.self) { try connection.migrate([Self.first], path: "x.db") }
        #expect(error == .newer(path: "x.db", version: 2, known: 1))
        let words = try #require(error).description
        #expect(words.contains("version 2") && words.contains("up to 1") && words.contains("newer program"))
    }

    @Test func everyMigrationOfTheSchemaEndsWithItsVersion() throws {
        for count in 1...Schema.migrations.count {
            let migrations = Array(Schema.migrations[..<count])
            let connection = try Connection(path: nil)
            try connection.migrate(migrations, path: "")
            let version = try connection.rows("PRAGMA user_version") { row throws(DatabaseError) in
                try row.column(0) as Int
            }
            #expect(version == [migrations[count - 1].version] && version == [count])
        }
    }
}
