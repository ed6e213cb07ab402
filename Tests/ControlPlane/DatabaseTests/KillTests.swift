import Programs
import Foundation
import Glibc
import Linux
import Mediation
import SeededRandom
import StoreModel
import Testing

@testable import Database

/// A process that is killed in the middle of its work loses nothing that it has acknowledged.
@Suite struct KillTests {
    /// A process of StoreWriter.
    private struct Writer: ~Copyable {
        private let process: Int32
        private let acknowledgements: Descriptor
        private var unread: [UInt8] = []

        init(_ path: String, seed: UInt64, serial: Int) throws {
            let program = try Program.folder.appendingPathComponent("StoreWriter").path
            let pair = try UnixSocket.pair()
            let end = try pair.first.descriptor.duplicate()
            process = try ChildProcess.spawn(
                program, [path, "\(seed)", "\(serial)"], passing: [pair.second.descriptor.raw])
            acknowledgements = end
        }

        /// The next serial number; nil when the process is gone.
        mutating func acknowledged() throws -> Int? {
            while !unread.contains(UInt8(ascii: "\n")) {
                let bytes = try acknowledgements.readBytes(upTo: 1)
                guard !bytes.isEmpty else { return nil }
                unread += bytes
            }
            let line = String(decoding: unread.prefix { $0 != UInt8(ascii: "\n") }, as: UTF8.self)
            unread.removeFirst(line.utf8.count + 1)
            return Int(line)
        }

        func kill() { ChildProcess.end(process) }
    }

    @Test func whatIsAcknowledgedIsThereWhole() throws {
        let folder = try Folder()
        let seed: UInt64 = 20
        var random = SplitMix(seed: seed)
        var model = ChangeSequence(seed: seed)
        for round in 0..<200 {
            var writer = try Writer(folder.database, seed: seed, serial: model.serial)
            var last = model.serial
            // At a random moment: of the start, or of the work.
            let target = last + Int.random(in: 0..<6, using: &random)
            while last < target, let serial = try writer.acknowledged() { last = serial }
            usleep(UInt32.random(in: 0..<(last == model.serial ? 15_000 : 1500), using: &random))
            writer.kill()
            while let serial = try writer.acknowledged() { last = serial }
            while model.serial < last { _ = model.next() }

            let database = try Database(path: folder.database)
            let verified = model.entries.count - 100
            let journal = try database.journal(after: verified, instance: nil, limit: .max)
            // The next change may be there as well.
            if journal.last.map({ $0.message != "\(last)" }) ?? false {
                _ = model.next()
            }
            let isJournalWhole = journal == Array(model.entries.dropFirst(max(0, verified)))
            try #require(isJournalWhole, "round \(round), change \(last)")
            let areInstancesWhole = try database.instances() == model.instances
            try #require(areInstancesWhole, "round \(round), change \(last)")
            #expect(try database.lastBoot() == model.boot)
            let connection = try Connection(path: folder.database)
            let findings = try connection.rows("PRAGMA integrity_check") { row throws(DatabaseError) in
                try row.column(0) as String
            }
            #expect(findings == ["ok"], "round \(round), change \(last)")
        }
        // Most were killed while they worked.
        #expect(model.serial > 200)
    }

    @Test func anotherProcessKeepsTheDatabaseUntilItEnds() throws {
        let folder = try Folder()
        var writer = try Writer(folder.database, seed: 1, serial: 0)
        #expect(try writer.acknowledged() == 1)
        #expect(throws: DatabaseError.inUse(path: folder.database)) { try Database(path: folder.database) }
        writer.kill()
        #expect(try !Database(path: folder.database).instances().isEmpty)
    }
}
