import CLinux
import Glibc

/// What is at a path, to be looked at and changed without a way round: a link is itself and is not followed, and what
/// others put in its place meanwhile is something else.
extension Descriptor {
    /// Names a file without opening it. `O_PATH`, `O_NOFOLLOW`
    public init(naming path: String) throws(Errno) {
        self.init(owning: try systemCall { open(path, clinux_o_path | O_NOFOLLOW | O_CLOEXEC) })
    }

    /// Names a folder, and nothing else that may be there. `O_DIRECTORY`
    public init(namingFolder path: String) throws(Errno) {
        self.init(owning: try systemCall { open(path, clinux_o_path | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) })
    }

    /// - Throws: `.notSupported` for a symbolic link, which has no permissions. `chmod(2)`
    public borrowing func setMode(_ mode: mode_t) throws(Errno) {
        let path = "/proc/self/fd/\(raw)"
        // This link leads to the file itself, which is no path any more. Only of a symbolic link it leads to that.
        try systemCall { chmod(path, mode) }
    }

    /// - Parameters: nil: it stays. `fchownat(2)`, `AT_EMPTY_PATH`
    public borrowing func setOwner(user: UInt32?, group: UInt32?) throws(Errno) {
        let raw = raw
        try systemCall { fchownat(raw, "", user ?? .max, group ?? .max, clinux_at_empty_path) }
    }
}
