import CSQLite
import Foundation
import Glibc
import Linux
import Mediation
import PCI
import StoreModel
import Testing
import XenSlot

@testable import Database

@Suite struct DatabaseTests {
    // MARK: What is stored

    @Test func aReopenedDatabaseHoldsWhatWasCommitted() throws {
        let folder = try Folder()
        var full = vgpu([Attribute("vram", "16M"), Attribute("empty", ""), Attribute("vram", "32M")])
        full.isAutostarted = true
        full.owner = Instance.Owner(user: .max, group: nil)
        full.state = .restarting
        full.process = ProcessIdentity(id: 4711, startTime: .max, boot: "this one")
        full.restarts = 3
        full.generation = 7
        full.grant = Grant(
            device: "bochs-display", limits: Limits(videoMemory: 16 << 20, weight: 50, frameRate: 30),
            options: [Attribute("resolution", "800x600"), Attribute("edid", "on")])
        full.slot = DomainSlot(
            domain: 0x7fef, address: try #require(FunctionAddress(bus: 0xff, device: 31, function: 7)))
        var bare = vgpu()
        bare.isDefined = false
        bare.owner = Instance.Owner(user: nil, group: nil)
        let ownerless = vgpu()
        do {
            let database = try Database(path: folder.database)
            #expect(try database.instances().isEmpty && database.lastBoot() == nil)
            let entries = try database.commit(
                StoreChange(
                    saved: [full, bare, ownerless], entries: [entry("one", of: full.id), entry("two")], boot: "b"))
            #expect(entries.map(\.number) == [1, 2])
        }
        let database = try Database(path: folder.database)
        #expect(try database.instances() == [full, bare, ownerless])
        #expect(try database.lastBoot() == "b")
        var (one, two) = (entry("one", of: full.id), entry("two"))
        (one.number, two.number) = (1, 2)
        #expect(try database.journal(after: 0, instance: nil, limit: 10) == [one, two])
    }

    @Test func aChangedInstanceKeepsItsPlace() throws {
        let database = try Database()
        var instances = [vgpu([Attribute("a", "1"), Attribute("b", "2")]), vgpu(), vgpu()]
        try database.commit(StoreChange(saved: instances))
        instances[0].attributes = [Attribute("b", "3")]
        instances[0].type = "bochs-display"
        try database.commit(StoreChange(saved: [instances[0]]))
        #expect(try database.instances() == instances)
        // One that was removed comes back behind the others.
        try database.commit(StoreChange(removed: [instances[0].id]))
        try database.commit(StoreChange(saved: [instances[0]]))
        #expect(try database.instances().map(\.id) == [instances[1].id, instances[2].id, instances[0].id])
        #expect(try database.instances().last?.attributes == instances[0].attributes)
    }

    @Test func theLastGenerationIsKnownWhenItsInstanceIsGone() throws {
        let folder = try Folder()
        do {
            let database = try Database(path: folder.database)
            #expect(try database.lastGeneration() == 0)
            var (first, second) = (vgpu(), vgpu())
            (first.generation, second.generation) = (12, 9)
            try database.commit(StoreChange(saved: [first, second]))
            try database.commit(StoreChange(removed: [first.id]))
        }
        #expect(try Database(path: folder.database).lastGeneration() == 12)
    }

    @Test(arguments: [2, 3]) func whatAnEarlierVersionHasStoredIsRead(version: Int) throws {
        let folder = try Folder()
        do {
            let connection = try Connection(path: folder.database)
            try connection.migrate(Array(Schema.migrations[..<version]), path: folder.database)
            try connection.runScript(
                """
                INSERT INTO instance (uuid, parent, type, is_autostarted, is_defined, has_owner, state, restarts,
                    process_id, process_start_time, process_boot, aperture)
                VALUES ('11111111-2222-4333-8444-555555555555', 'cpu', 'small', 1, 1, 0, 'running', 2, 4711, 99, 'boot',
                    16777216);
                INSERT INTO attribute (instance, ordinal, name, value) VALUES (1, 0, 'vram', '8M');
                """)
        }
        let instance = try #require(try Database(path: folder.database).instances().first)
        #expect(instance.state == .running && instance.process?.id == 4711 && instance.aperture == 16 << 20)
        #expect(instance.attributes == [Attribute("vram", "8M")])
        #expect(instance.grant == nil && instance.generation == 0 && instance.slot == nil)
    }

    @Test func aSlotThatIsNoneIsUnreadable() throws {
        let folder = try Folder()
        do {
            let database = try Database(path: folder.database)
            try database.commit(StoreChange(saved: [vgpu()]))
            let other = try Connection(path: folder.database)
            try other.run("UPDATE instance SET domain = 5, slot = '00:20.0'")
            // They are there together, or not at all.
            expectRefusal(SQLITE_CONSTRAINT, "CHECK") { try other.run("UPDATE instance SET domain = NULL") }
        }
        let database = try Database(path: folder.database)
        let error = #expect(throws: DatabaseError.self) { try database.instances() }
        #expect(error?.description.contains("00:20.0") == true)
    }

    @Test func aRemovedInstanceTakesItsAttributesAlong() throws {
        let connection = try Connection(path: nil)
        let database = try Database(connection)
        let instance = vgpu([Attribute("a", "1")])
        try database.commit(StoreChange(saved: [instance]))
        try database.commit(StoreChange(removed: [instance.id, InstanceID()]))
        #expect(try database.instances().isEmpty)
        // Its place is taken by another one.
        let next = vgpu()
        try database.commit(StoreChange(saved: [next]))
        #expect(try database.instances() == [next])
    }

    @Test func aChangeThatFailsHasChangedNothing() throws {
        let database = try Database()
        let present = vgpu()
        try database.commit(StoreChange(saved: [present], entries: [entry("one")], boot: "first"))
        var wrong = entry("wrong")
        wrong.time = .nan
        expectRefusal(SQLITE_CONSTRAINT, "journal.time") {
            try database.commit(
                StoreChange(
                    saved: [vgpu()], removed: [present.id], entries: [entry("two"), wrong], boot: "second"))
        }
        #expect(try database.instances() == [present])
        #expect(try database.lastBoot() == "first")
        #expect(try database.journal(after: 0, instance: nil, limit: 10).map(\.message) == ["one"])
        #expect(try database.commit(StoreChange(entries: [entry("two")])).map(\.number) == [2])
    }

    @Test func randomChangesAddUp() throws {
        var changes = ChangeSequence(seed: 1)
        let database = try Database()
        for _ in 0..<300 {
            try database.commit(changes.next())
            #expect(try database.instances() == changes.instances)
        }
        #expect(try database.journal(after: 0, instance: nil, limit: .max) == changes.entries)
        #expect(try database.lastBoot() == changes.boot)
    }

    // MARK: The journal

    @Test func theJournalIsReadFromAnEntryOn() throws {
        let database = try Database()
        let (one, other) = (InstanceID(), InstanceID())
        try database.commit(StoreChange(entries: (1...9).map { entry("\($0)", of: $0 % 3 == 0 ? other : one) }))
        func numbers(after number: Int, _ instance: InstanceID? = nil, limit: Int = 100) throws -> [Int] {
            try database.journal(after: number, instance: instance, limit: limit).map(\.number)
        }
        #expect(try numbers(after: 0) == Array(1...9))
        #expect(try numbers(after: 7) == [8, 9])
        #expect(try numbers(after: 9).isEmpty && numbers(after: .max).isEmpty)
        #expect(try numbers(after: .min) == Array(1...9))
        #expect(try numbers(after: 0, other) == [3, 6, 9])
        #expect(try numbers(after: 3, other) == [6, 9])
        #expect(try numbers(after: 0, InstanceID()).isEmpty)
        // The newest ones count.
        #expect(try numbers(after: 0, limit: 2) == [8, 9])
        #expect(try numbers(after: 0, one, limit: 2) == [7, 8])
        #expect(try numbers(after: 0, limit: 0).isEmpty && numbers(after: 0, limit: -1).isEmpty)
        #expect(try numbers(after: 0, other, limit: -1).isEmpty)
    }

    @Test func theJournalForgetsTheOldest() throws {
        let database = try Database(Connection(path: nil), journalLimit: 10)
        for number in 1...25 { try database.commit(StoreChange(entries: [entry("\(number)")])) }
        func numbers() throws -> [Int] { try database.journal(after: 0, instance: nil, limit: .max).map(\.number) }
        #expect(try numbers() == Array(16...25))
        try database.commit(StoreChange(entries: (26...50).map { entry("\($0)") }))
        #expect(try numbers() == Array(41...50))
        try database.commit(StoreChange(boot: "none of its business"))
        #expect(try numbers() == Array(41...50))
    }

    // MARK: Files

    @Test func onlyItsUserMayReadTheFiles() throws {
        let folder = try Folder()
        let database = try Database(path: folder.database)
        try database.commit(StoreChange(saved: [vgpu()]))
        let files = try FileManager.default.contentsOfDirectory(atPath: folder.path)
        #expect(Set(files) == ["mediated.db", "mediated.db-wal", "mediated.db-shm", "mediated.db.lock"])
        for file in files {
            let attributes = try FileManager.default.attributesOfItem(atPath: "\(folder.path)/\(file)")
            #expect(attributes[.posixPermissions] as? Int == 0o600, "\(file)")
        }
    }

    @Test func aSecondOpenerIsRefusedUntilTheFirstIsGone() throws {
        let folder = try Folder()
        do {
            let database = try Database(path: folder.database)
            let error = #expect(throws: DatabaseError.self) { try Database(path: folder.database) }
            #expect(error == .inUse(path: folder.database))
            #expect(error?.description.contains("fuser \(folder.database).lock") == true)
            // And has disturbed nothing.
            try database.commit(StoreChange(saved: [vgpu()]))
        }
        #expect(try Database(path: folder.database).instances().count == 1)
    }

    @Test(arguments: ["missing/mediated.db", "file/mediated.db"])
    func aPlaceThatTakesNoFileIsRefused(name: String) throws {
        let folder = try Folder()
        try Data().write(to: URL(fileURLWithPath: "\(folder.path)/file"))
        let error = #expect(throws: DatabaseError.self) { try Database(path: "\(folder.path)/\(name)") }
        guard case .file(let path, let reason)? = error else {
            Issue.record("\(error as Any)")
            return
        }
        #expect(path == "\(folder.path)/\(name).lock")
        #expect(reason == (name.hasPrefix("file") ? .notDirectory : .noSuchFileOrDirectory))
    }

    @Test func aFolderThatMayNotBeWrittenIsRefused() throws {
        // Where root can't write either.
        let error = #expect(throws: DatabaseError.self) { try Database(path: "/sys/mediated.db") }
        guard case .file("/sys/mediated.db.lock", let reason)? = error else {
            Issue.record("\(error as Any)")
            return
        }
        #expect([.permissionDenied, .notPermitted, .readOnlyFileSystem].contains(reason))
        #expect(error?.description.contains("must exist and belong to the daemon's user") == true)
    }

    @Test func aFileThatIsNoDatabaseIsRefusedAndKept() throws {
        let folder = try Folder()
        let contents = Data("This is not a database, but something that somebody wants to keep.".utf8)
        try contents.write(to: URL(fileURLWithPath: folder.database))
        expectRefusal(SQLITE_NOTADB, "'\(folder.database)' is damaged") { _ = try Database(path: folder.database) }
        #expect(FileManager.default.contents(atPath: folder.database) == contents)
    }

    @Test func aDamagedDatabaseIsRefused() throws {
        let folder = try Folder()
        do {
            let database = try Database(path: folder.database)
            let entries = (0..<500).map { entry("\($0)", of: InstanceID()) }
            try database.commit(StoreChange(saved: [vgpu()], entries: entries))
        }
        var contents = try #require(FileManager.default.contents(atPath: folder.database))
        // Behind the first page, which holds the schema: pages are 4096 bytes.
        for page in stride(from: 4096, to: contents.count, by: 4096) {
            contents.replaceSubrange(page..<page + 64, with: [UInt8](repeating: 0xa5, count: 64))
        }
        try contents.write(to: URL(fileURLWithPath: folder.database))
        expectRefusal(SQLITE_CORRUPT, "move it away") { _ = try Database(path: folder.database) }
    }

    @Test func aDatabaseOfALaterProgramIsRefused() throws {
        let folder = try Folder()
        do {
            let connection = try Connection(path: folder.database)
            try connection.run("PRAGMA user_version = 1000")
        }
        let error = #expect(throws: DatabaseError.self) { try Database(path: folder.database) }
        #expect(
            error == .newer(path: folder.database, version: 1000, known: Schema.migrations.last?.version ?? 0))
    }

    @Test func aFullDiskIsSaidAndLosesNothing() throws {
        let folder = try Folder()
        let connection = try Connection(path: folder.database)
        try connection.run("PRAGMA max_page_count = 20")
        let database = try Database(connection)
        let present = vgpu()
        try database.commit(StoreChange(saved: [present], entries: [entry("one")]))
        let long = String(repeating: "long ", count: 20_000)
        expectRefusal(SQLITE_FULL, "disk is full") {
            try database.commit(StoreChange(saved: [vgpu()], entries: [entry("two"), entry(long)]))
        }
        #expect(try database.instances() == [present])
        // What fits is taken.
        try database.commit(StoreChange(entries: [entry("two")]))
        #expect(try database.journal(after: 0, instance: nil, limit: 9).map(\.message) == ["one", "two"])
    }

    @Test func aReadOnlyDatabaseIsSaid() throws {
        let connection = try Connection(path: nil)
        try connection.migrate(Schema.migrations, path: "")
        try connection.run("PRAGMA query_only = ON")
        let database = try Database(connection)
        expectRefusal(SQLITE_READONLY, "can't be written") { try database.commit(StoreChange(saved: [vgpu()])) }
        #expect(try database.instances().isEmpty)
    }

    @Test func anotherProgramThatChangesItIsWaitedForAndThenSaid() throws {
        let folder = try Folder()
        let database = try Database(path: folder.database)
        // As an administrator's sqlite3 does, which knows of no lock beside the file.
        let other = try Connection(path: folder.database)
        try other.run("BEGIN IMMEDIATE")
        // Readers go on.
        #expect(try database.instances().isEmpty)
        expectRefusal(SQLITE_BUSY, "another program") { try database.commit(StoreChange(saved: [vgpu()])) }
        try other.run("ROLLBACK")
        try database.commit(StoreChange(saved: [vgpu()]))
        #expect(try database.instances().count == 1)
    }

    @Test func whatNoVersionWritesIsUnreadable() throws {
        let folder = try Folder()
        do {
            let database = try Database(path: folder.database)
            try database.commit(StoreChange(saved: [vgpu()]))
            let other = try Connection(path: folder.database)
            try other.run("UPDATE instance SET state = 'levitating'")
        }
        let database = try Database(path: folder.database)
        let error = #expect(throws: DatabaseError.self) { try database.instances() }
        #expect(error?.description.contains("levitating") == true)
    }

    @Test func manyThreadsShareADatabase() async throws {
        let database = try Database()
        await withTaskGroup { group in
            for _ in 0..<8 {
                group.addTask {
                    for _ in 0..<20 { _ = try? database.commit(StoreChange(saved: [vgpu()], entries: [entry("x")])) }
                }
            }
        }
        #expect(try database.instances().count == 160)
        #expect(try database.journal(after: 0, instance: nil, limit: .max).map(\.number) == Array(1...160))
    }
}
