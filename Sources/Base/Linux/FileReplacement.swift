import Glibc

/// A file that appears at its path complete or not at all: it is written under a temporary name
/// beside the path, and takes the path's place in one step.
public struct FileReplacement: ~Copyable {
    /// The new file, for writing.
    public let descriptor: Descriptor
    private let path: String
    private let temporary: String

    /// - Parameters:
    ///   - path: where nothing is yet, or a regular file.
    ///   - mode: the new file's permissions, less the umask.
    /// - Throws: `.fileExists` when something else is there, such as a folder, a device, or a symbolic link: in a
    ///   folder that others may write to it would say whose file is replaced. `open(2)`'s error when the folder takes
    ///   no new file.
    public init(path: String, mode: mode_t = 0o666) throws(Errno) {
        var status = stat()
        guard lstat(path, &status) != 0 || status.st_mode & S_IFMT == S_IFREG else { throw .fileExists }
        let temporary = "\(path).\(getpid()).new"
        descriptor = Descriptor(
            owning: try systemCall { open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode) })
        self.path = path
        self.temporary = temporary
    }

    deinit {
        unlink(temporary)
    }

    /// Puts the file at its path, where it replaces what was there. `fsync(2)`, `rename(2)`
    ///
    /// - Throws: what the system refuses; nothing has changed at the path then.
    public consuming func commit() throws(Errno) {
        try descriptor.synchronize()
        try putInPlace()
    }

    /// As ``commit()``, of a file whose bytes somebody else has brought to the disk. `rename(2)`
    public consuming func putInPlace() throws(Errno) {
        let (temporary, path) = (temporary, path)
        // A temporary name that is gone makes deinit's unlink do nothing.
        try systemCall { rename(temporary, path) }
    }
}
