import Glibc

/// A lock that one owner has at a time, and that ends with its process however that ends. `flock(2)`
public struct FileLock: ~Copyable, Sendable {
    private let descriptor: Descriptor

    /// Takes the lock, or fails at once.
    ///
    /// - Parameter path: a file for this and nothing else. It is made unless it is there, and stays: whoever removed it could
    ///   take it from another who has opened it already.
    /// - Throws: `.wouldBlock` when somebody has the lock, in this process or another one; `open(2)`'s error.
    public init(path: String) throws(Errno) {
        let file = Descriptor(owning: try systemCall { open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600) })
        let raw = file.raw
        try systemCall { flock(raw, LOCK_EX | LOCK_NB) }
        descriptor = file
    }
}
