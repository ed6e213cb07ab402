import CSQLite
import Linux

/// Why the database could not be opened, read or changed. The description is one or more sentences for the
/// administrator.
public enum DatabaseError: Error, Equatable, CustomStringConvertible {
    /// SQLite refused.
    case sqlite(Refusal)
    /// The file, or the lock beside it, can't be made or opened.
    case file(path: String, Errno)
    /// Another daemon has it open.
    case inUse(path: String)
    /// It was written by a later version of this program: the schema's versions, not the program's.
    case newer(path: String, version: Int, known: Int)
    /// A column holds what no version has ever written there.
    case unreadable(statement: String, column: Int, value: String)

    /// What SQLite says.
    public struct Refusal: Equatable, Sendable {
        /// An extended result code. "Result and Error Codes", sqlite.org/rescode.html
        public var code: Int32
        public var message: String
        /// Empty for a database in memory.
        public var path: String
        /// What it was asked to do; nil: to open the file.
        public var statement: String?

        /// The code without what extends it.
        public var primaryCode: Int32 { code & 0xff }
    }

    public var description: String {
        switch self {
        case .sqlite(let refusal):
            "\(refusal.advice) SQLite says: \(refusal.message) (code \(refusal.code)\(refusal.place))."
        case .file(let path, let error):
            "'\(path)' can't be opened: \(error). Its folder must exist and belong to the daemon's user."
        case .inUse(let path):
            "Another daemon has the database '\(path)' open. Stop that one first; 'fuser \(path).lock' names its process."
        case .newer(let path, let version, let known):
            "The database '\(path)' has version \(version), but this program knows versions up to \(known). "
                + "Run the newer program, or move the file away to begin with an empty one."
        case .unreadable(let statement, let column, let value):
            "The database holds \(value) in column \(column) of \"\(statement)\", where it makes no sense. "
                + "Put a copy in its place, or move it away to begin with an empty one."
        }
    }
}

extension DatabaseError.Refusal {
    /// What happened, and the way out.
    fileprivate var advice: String {
        let name = path.isEmpty ? "The database" : "The database '\(path)'"
        return switch primaryCode {
        case SQLITE_FULL: "\(name) can't grow, as the disk is full: free some space."
        case SQLITE_BUSY, SQLITE_LOCKED: "\(name) is being changed by another program: end that, and try again."
        case SQLITE_CORRUPT, SQLITE_NOTADB:
            "\(name) is damaged: put a copy in its place, or move it away to begin with an empty one."
        case SQLITE_READONLY, SQLITE_CANTOPEN, SQLITE_PERM:
            "\(name) can't be written: the file and its folder must belong to the daemon's user."
        case SQLITE_IOERR: "\(name) can't be read or written: the disk fails."
        default: "\(name) refused."
        }
    }

    fileprivate var place: String { statement.map { ", in \"\($0)\"" } ?? "" }
}
