import Mediation
import PCI
import XenSlot

extension InstanceID: ColumnValue {
    var stored: StoredValue { .text(description) }

    init?(_ stored: StoredValue) {
        guard case .text(let text) = stored else { return nil }
        self.init(text)
    }
}

extension Instance.State: ColumnValue {}

extension FunctionAddress: ColumnValue {
    var stored: StoredValue { .text(description) }

    init?(_ stored: StoredValue) {
        guard case .text(let text) = stored else { return nil }
        self.init(text)
    }
}

extension Connection {
    /// Every instance, in the order of definition.
    borrowing func instances() throws(DatabaseError) -> [Instance] {
        let attributes = try self.attributes(
            "SELECT instance, name, value FROM attribute ORDER BY instance, ordinal")
        let options = try self.attributes(
            "SELECT instance, name, value FROM granted_option ORDER BY instance, ordinal")
        return try rows(
            """
            SELECT position, uuid, parent, type, is_autostarted, is_defined, has_owner, owner_user, owner_group, state,
                restarts, process_id, process_start_time, process_boot, aperture, generation, granted_device,
                granted_video_memory, granted_weight, granted_frame_rate, domain, slot
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
            instance.generation = try row.column(15)
            if let device: String = try row.column(16) {
                instance.grant = Grant(
                    device: device,
                    limits: Limits(
                        videoMemory: try row.column(17), weight: try row.column(18), frameRate: try row.column(19)),
                    options: options[try row.column(0), default: []])
            }
            if let domain: UInt16 = try row.column(20) {
                instance.slot = DomainSlot(domain: domain, address: try row.column(21))
            }
            return instance
        }
    }

    /// By the instances' positions.
    private borrowing func attributes(_ query: StaticString) throws(DatabaseError) -> [Int64: [Attribute]] {
        let all = try rows(query) { row throws(DatabaseError) in
            (instance: try row.column(0) as Int64, Attribute(try row.column(1), try row.column(2)))
        }
        return all.reduce(into: [:]) { $0[$1.instance, default: []].append($1.1) }
    }

    /// Stores an instance: in its place if it is there, else behind all others.
    borrowing func save(_ instance: Instance) throws(DatabaseError) {
        let positions = try rows(
            """
            INSERT INTO instance (uuid, parent, type, is_autostarted, is_defined, has_owner, owner_user, owner_group,
                state, restarts, process_id, process_start_time, process_boot, aperture, generation, granted_device,
                granted_video_memory, granted_weight, granted_frame_rate, domain, slot)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21)
            ON CONFLICT (uuid) DO UPDATE SET (parent, type, is_autostarted, is_defined, has_owner, owner_user,
                owner_group, state, restarts, process_id, process_start_time, process_boot, aperture, generation,
                granted_device, granted_video_memory, granted_weight, granted_frame_rate, domain, slot)
            = (?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21)
            RETURNING position
            """,
            [
                instance.id, instance.parent, instance.type, instance.isAutostarted, instance.isDefined,
                instance.owner != nil, instance.owner?.user, instance.owner?.group, instance.state, instance.restarts,
                instance.process?.id, instance.process?.startTime, instance.process?.boot, instance.aperture,
                instance.generation, instance.grant?.device, instance.grant?.limits.videoMemory,
                instance.grant?.limits.weight, instance.grant?.limits.frameRate, instance.slot?.domain,
                instance.slot?.address,
            ]
        ) { row throws(DatabaseError) in try row.column(0) as Int64 }
        for position in positions {
            try replace(
                with: instance.attributes, of: position, "DELETE FROM attribute WHERE instance = ?1",
                "INSERT INTO attribute (instance, ordinal, name, value) VALUES (?1, ?2, ?3, ?4)")
            try replace(
                with: instance.grant?.options ?? [], of: position, "DELETE FROM granted_option WHERE instance = ?1",
                "INSERT INTO granted_option (instance, ordinal, name, value) VALUES (?1, ?2, ?3, ?4)")
        }
        try noteGeneration(instance.generation)
    }

    /// - Parameters:
    ///   - delete: removes those of an instance.
    ///   - insert: adds one, with its number.
    private borrowing func replace(
        with attributes: [Attribute], of position: Int64, _ delete: StaticString, _ insert: StaticString
    ) throws(DatabaseError) {
        try run(delete, [position])
        for (ordinal, attribute) in attributes.enumerated() {
            try run(insert, [position, ordinal, attribute.name, attribute.value])
        }
    }

    /// Forgets an instance with its attributes, if it is there.
    borrowing func remove(_ id: InstanceID) throws(DatabaseError) {
        try run("DELETE FROM instance WHERE uuid = ?1", [id])
    }

    // MARK: The last start

    /// The greatest generation that was ever stored, also of instances that are gone; 0: none.
    borrowing func lastGeneration() throws(DatabaseError) -> Int {
        try rows("SELECT CAST(value AS INTEGER) FROM meta WHERE name = 'last-generation'") {
            row throws(DatabaseError) in try row.column(0) as Int
        }.first ?? 0
    }

    private borrowing func noteGeneration(_ generation: Int) throws(DatabaseError) {
        guard try generation > lastGeneration() else { return }
        try run("INSERT OR REPLACE INTO meta (name, value) VALUES ('last-generation', ?1)", ["\(generation)"])
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
