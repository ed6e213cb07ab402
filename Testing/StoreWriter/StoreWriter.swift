import Database
import Linux
import StoreModel

/// Commits one change after the other until it is killed, and acknowledges each by a line with its serial number.
///
/// usage: StoreWriter DATABASE SEED SERIAL, with the place for acknowledgements as descriptor 3. SERIAL changes are in
/// there.
@main struct StoreWriter {
    static func main() throws {
        let words = CommandLine.arguments
        guard words.count == 4, let seed = UInt64(words[2]), let serial = Int(words[3]) else {
            throw DatabaseError.file(path: "DATABASE SEED SERIAL", .invalidArgument)
        }
        let acknowledgements = Descriptor(owning: ChildProcess.firstDescriptor)
        let database = try Database(path: words[1])
        var changes = ChangeSequence(seed: seed)
        while changes.serial < serial { _ = changes.next() }
        while true {
            try database.commit(changes.next())
            try acknowledgements.writeAll(Array("\(changes.serial)\n".utf8).span.bytes)
        }
    }
}
