import Mediation

extension InstanceID: ColumnValue {
    var stored: StoredValue { .text(description) }

    init?(_ stored: StoredValue) {
        guard case .text(let text) = stored else { return nil }
        self.init(text)
    }
}

extension Instance.State: ColumnValue {}

extension Connection {
    /// Every instance, in the order of definition.
    borrowing func instances() throws(DatabaseError) -> [Instance] {
        let attributes = try attributes()
        return try rows(
            """
            SELECT position, uuid, parent, type, is_autostarted, is_defined, has_owner, owner_user, owner_group, state,
                restarts, process_id, process_start_time, process_boot, aperture
            FROM instance ORDER BY position
            """
        ) { row throws(DatabaseError) in
            var instance = Instance(
                id: try row.column(1), parent: try row.column(2), type: try row.column(3),
                attributes: attributes[try row.column(0), default: []], isAutostarted: try row.column(4),
                isDefined: try row.column(5))
            if try row.column(6) {
                instance.owner = Instance.Owner(user: try row.column(7), group: try row.column(8))
            }
            instance.state = try row.column(9)
            instance.restarts = try row.column(10)
            if let id: Int32 = try row.column(11) {
                instance.process = ProcessIdentity(
                    id: id, startTime: try row.column(12), boot: try row.column(13))
            }
            instance.aperture = try row.column(14)
            return instance
        }
    }

    /// By the instances' positions.
    private borrowing func attributes() throws(DatabaseError) -> [Int64: [Attribute]] {
        let all = try rows("SELECT instance, name, value FROM attribute ORDER BY instance, ordinal") {
            row throws(DatabaseError) in
            (instance: try row.column(0) as Int64, Attribute(try row.column(1), try row.column(2)))
        }
        return all.reduce(into: [:]) { $0[$1.instance, default: []].append($1.1) }
    }

    /// Stores an instance: in its place if it is there, else behind all others.
    borrowing func save(_ instance: Instance) throws(DatabaseError) {
        let positions = try rows(
            """
            INSERT INTO instance (uuid, parent, type, is_autostarted, is_defined, has_owner, owner_user, owner_group,
                state, restarts, process_id, process_start_time, process_boot, aperture)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)
            ON CONFLICT (uuid) DO UPDATE SET (parent, type, is_autostarted, is_defined, has_owner, owner_user,
                owner_group, state, restarts, process_id, process_start_time, process_boot, aperture)
            = (?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)
            RETURNING position
            """,
            [
                instance.id, instance.parent, instance.type, instance.isAutostarted, instance.isDefined,
                instance.owner != nil, instance.owner?.user, instance.owner?.group, instance.state, instance.restarts,
                instance.process?.id, instance.process?.startTime, instance.process?.boot, instance.aperture,
            ]
        ) { row throws(DatabaseError) in try row.column(0) as Int64 }
        for position in positions { try replaceAttributes(instance.attributes, of: position) }
    }

    private borrowing func replaceAttributes(
        _ attributes: [Attribute], of position: Int64
    ) throws(DatabaseError) {
        try run("DELETE FROM attribute WHERE instance = ?1", [position])
        for (ordinal, attribute) in attributes.enumerated() {
            try run(
                "INSERT INTO attribute (instance, ordinal, name, value) VALUES (?1, ?2, ?3, ?4)",
                [position, ordinal, attribute.name, attribute.value])
        }
    }

    /// Forgets an instance with its attributes, if it is there.
    borrowing func remove(_ id: InstanceID) throws(DatabaseError) {
        try run("DELETE FROM instance WHERE uuid = ?1", [id])
    }

    // MARK: The last boot

    borrowing func lastBoot() throws(DatabaseError) -> String? {
        try rows("SELECT value FROM meta WHERE name = 'last-boot'") { row throws(DatabaseError) in
            try row.column(0) as String
        }.first
    }

    borrowing func setLastBoot(_ boot: String) throws(DatabaseError) {
        try run("INSERT OR REPLACE INTO meta (name, value) VALUES ('last-boot', ?1)", [boot])
    }
}
