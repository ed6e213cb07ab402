import Mediation

extension Connection {
    /// Writes entries behind all others, and forgets the oldest ones.
    ///
    /// - Parameter limit: how many are kept. Numbers have no gaps, as one that is rolled back is given out again: so
    ///   the oldest are known by their numbers, and only those that go are touched.
    /// - Returns: the entries with their numbers.
    borrowing func append(_ entries: [JournalEntry], keeping limit: Int) throws(DatabaseError) -> [JournalEntry] {
        var numbered: [JournalEntry] = []
        for var entry in entries {
            let numbers = try rows(
                "INSERT INTO journal (time, instance, kind, message) VALUES (?1, ?2, ?3, ?4) RETURNING number",
                [entry.time, entry.instance, entry.kind, entry.message]
            ) { row throws(DatabaseError) in try row.column(0) as Int }
            entry.number = numbers.first ?? 0
            numbered.append(entry)
        }
        if let last = numbered.last, last.number > limit {
            try run("DELETE FROM journal WHERE number <= ?1", [last.number - limit])
        }
        return numbered
    }

    /// Entries with higher numbers than one, oldest first; of more than `limit` the newest.
    borrowing func journal(
        after number: Int, instance: InstanceID?, limit: Int
    ) throws(DatabaseError) -> [JournalEntry] {
        let newest: [JournalEntry]
        // SQLite takes a negative limit for none.
        let limit = max(0, limit)
        if let instance {
            newest = try rows(
                """
                SELECT number, time, instance, kind, message FROM journal
                WHERE instance = ?1 AND number > ?2 ORDER BY number DESC LIMIT ?3
                """, [instance, number, limit], Self.entry)
        } else {
            newest = try rows(
                """
                SELECT number, time, instance, kind, message FROM journal
                WHERE number > ?1 ORDER BY number DESC LIMIT ?2
                """, [number, limit], Self.entry)
        }
        return newest.reversed()
    }

    private static func entry(_ row: borrowing Statement) throws(DatabaseError) -> JournalEntry {
        JournalEntry(
            number: try row.column(0), time: try row.column(1), instance: try row.column(2), kind: try row.column(3),
            message: try row.column(4))
    }
}
