import Glibc

/// A file that appears at its path complete or not at all: it is written under a temporary name
/// beside the path, and takes the path's place in one step.
public struct FileReplacement: ~Copyable {
    /// The new file, for writing.
    public let descriptor: Descriptor
    private let path: String
    private let temporary: String

    /// - Parameters:
    ///   - path: where nothing is yet, or a regular file, or a symbolic link to one, which stays a link.
    ///   - mode: the new file's permissions, less the umask.
    /// - Throws: `.fileExists` when something else is there, such as a folder or a device; `open(2)`'s error
    ///   when the folder takes no new file.
    public init(path: String, mode: mode_t = 0o666) throws(Errno) {
        var status = stat()
        let exists = stat(path, &status) == 0
        guard !exists || status.st_mode & S_IFMT == S_IFREG else { throw .fileExists }
        let path = exists ? Self.resolved(path) : path
        let temporary = "\(path).\(getpid()).new"
        descriptor = Descriptor(
            owning: try systemCall { open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode) })
        self.path = path
        self.temporary = temporary
    }

    private static func resolved(_ path: String) -> String {
        guard let resolved = realpath(path, nil) else { return path }
        defer { free(resolved) }
        return String(cString: resolved)
    }

    deinit {
        unlink(temporary)
    }

    /// Puts the file at its path, where it replaces what was there. `fsync(2)`, `rename(2)`
    ///
    /// - Throws: what the system refuses; nothing has changed at the path then.
    public consuming func commit() throws(Errno) {
        let raw = descriptor.raw
        try systemCall { fsync(raw) }
        let (temporary, path) = (temporary, path)
        // A temporary name that is gone makes deinit's unlink do nothing.
        try systemCall { rename(temporary, path) }
    }
}
