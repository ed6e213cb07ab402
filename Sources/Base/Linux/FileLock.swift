import Glibc

/// A lock that one owner has at a time, and that ends with its process however that ends. `flock(2)`
public struct FileLock: ~Copyable, Sendable {
    private let descriptor: Descriptor

    /// Takes the lock.
    ///
    /// - Parameters:
    ///   - path: a file for this and nothing else. It is made unless it is there, and stays: whoever removed it could
    ///     take it
    ///     from another who has opened it already.
    ///   - limit: how long to wait for it. Some are wise even after the owner has ended: a program that it was just
    ///     starting has the lock too until `execve(2)`.
    /// - Throws: `.wouldBlock` when somebody has the lock, in this process or another one; `open(2)`'s error.
    public init(path: String, within limit: Duration = .zero) throws(Errno) {
        let file = Descriptor(owning: try systemCall { open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600) })
        try self.init(file, within: limit)
    }

    /// Takes the lock of an open file or folder.
    public init(_ file: consuming Descriptor, within limit: Duration = .zero) throws(Errno) {
        try file.lock(within: limit)
        descriptor = file
    }
}

extension Descriptor {
    /// Takes the lock of an open file, until ``unlock()`` or until nobody has it open by this descriptor or a copy of
    /// it.
    ///
    /// - Throws: `.wouldBlock` when somebody else has the lock.
    public func lock(within limit: Duration = .zero) throws(Errno) {
        let deadline = Deadline(after: limit)
        while flock(raw, LOCK_EX | LOCK_NB) != 0 {
            let error = Errno(rawValue: errno)
            guard error == .wouldBlock, !deadline.hasPassed else { throw error }
            // A wait inside flock(2) has no limit.
            usleep(10_000)
        }
    }

    public func unlock() { flock(raw, LOCK_UN) }
}
