import Foundation
import Glibc
import Mediation
import Programs
import Testing

@testable import Database

/// A folder of its own for a test's database, gone with the test.
final class Folder {
    let path: String
    var database: String { "\(path)/mediated.db" }

    init() throws {
        path = temporaryPath("database")
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }
}

func vgpu(_ attributes: [Attribute] = []) -> Instance {
    Instance(id: InstanceID(), parent: "cpu", type: "serial", attributes: attributes)
}

func entry(_ message: String, of instance: InstanceID? = nil) -> JournalEntry {
    JournalEntry(time: 1.5, instance: instance, kind: "started", message: message)
}

/// Expects SQLite to refuse with a primary result code, and to say so in these words.
func expectRefusal(
    _ code: Int32, _ words: String, sourceLocation: SourceLocation = #_sourceLocation, _ body: () throws -> Void
) {
    do {
        try body()
        Issue.record("It was not refused.", sourceLocation: sourceLocation)
    } catch DatabaseError.sqlite(let refusal) {
        #expect(refusal.primaryCode == code, sourceLocation: sourceLocation)
        let description = "\(DatabaseError.sqlite(refusal))"
        #expect(description.contains(words), "\(description)", sourceLocation: sourceLocation)
    } catch {
        Issue.record(error, sourceLocation: sourceLocation)
    }
}
