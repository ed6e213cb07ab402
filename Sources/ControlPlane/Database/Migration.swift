/// A step from one version of the schema to the next. Once released, a step never changes: the next one is added behind
/// it.
struct Migration: Sendable {
    /// What `PRAGMA user_version` is afterwards, which the script sets itself, as a pragma takes no bound value.
    var version: Int
    var script: StaticString
}

extension Connection {
    /// Brings the database to the last version.
    ///
    /// - Parameter migrations: all that there ever were, oldest first.
    /// - Throws: ``DatabaseError/newer(path:version:known:)`` for one that a later program has written.
    borrowing func migrate(_ migrations: [Migration], path: String) throws(DatabaseError) {
        let version = try version()
        let known = migrations.last?.version ?? 0
        guard version <= known else { throw .newer(path: path, version: version, known: known) }
        for migration in migrations where migration.version > version {
            try transaction { connection throws(DatabaseError) in
                try connection.runScript(migration.script)
            }
        }
    }

    private borrowing func version() throws(DatabaseError) -> Int {
        try rows("PRAGMA user_version") { row throws(DatabaseError) in try row.column(0) as Int }.first ?? 0
    }
}
