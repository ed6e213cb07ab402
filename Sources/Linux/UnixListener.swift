import CLinux
import Glibc

/// A listening AF_UNIX stream socket. The path that it has made is removed when it goes away.
public final class UnixListener: Sendable {
    public let descriptor: Descriptor
    public let path: String
    /// Device and inode of the path, so that only our own socket is removed; nil for one that stays.
    private let identity: (dev_t, ino_t)?

    /// Binds and listens at `path`. A dead socket that an earlier process left there is replaced.
    ///
    /// - Parameters:
    ///   - mode: the permissions of the socket file. Whoever may write to it may connect.
    ///   - backlog: how many connections may wait to be accepted.
    ///   - leavesPath: whether the path stays when this object goes away, for a process that inherits the socket.
    /// - Throws: `.addressInUse` when another process listens there, `.fileExists` when there is
    ///   something that is no socket, `bind(2)`'s error else.
    public init(path: String, mode: mode_t = 0o600, backlog: Int32 = 16, leavesPath: Bool = false) throws(Errno) {
        let descriptor = try UnixSocket.create()
        let raw = descriptor.raw
        let lock = Self.lockFolder(of: path)
        try Self.removeDeadSocket(at: path)
        // bind(2) makes a file with the socket's own mode, less the umask: never with more than is meant, from its first moment
        // on. The umask itself belongs to all threads.
        try systemCall { fchmod(raw, mode) }
        try withSocketAddress(of: path) { address, size throws(Errno) in
            try systemCall { bind(raw, address, size) }
        }
        // What the umask has taken.
        try systemCall { chmod(path, mode) }
        var status = stat()
        try systemCall { lstat(path, &status) }
        try systemCall { listen(raw, backlog) }
        _ = consume lock
        self.identity = leavesPath ? nil : (status.st_dev, status.st_ino)
        self.descriptor = descriptor
        self.path = path
    }

    /// Takes over a socket that somebody else has bound to `path` and listens on. The path stays theirs.
    ///
    /// - Throws: `.invalidArgument` for anything but a listening AF_UNIX socket of type SOCK_STREAM, `.notSocket` and
    ///   `.badFileDescriptor` for what is no socket, or nothing.
    public init(adopting descriptor: consuming Descriptor, path: String) throws(Errno) {
        let raw = descriptor.raw
        for (option, wanted) in [
            (SO_DOMAIN, AF_UNIX), (SO_TYPE, Int32(SOCK_STREAM.rawValue)), (SO_ACCEPTCONN, 1),
        ] {
            var value: Int32 = 0
            var size = socklen_t(MemoryLayout<Int32>.size)
            try systemCall { getsockopt(raw, SOL_SOCKET, option, &value, &size) }
            guard value == wanted else { throw .invalidArgument }
        }
        try systemCall { fcntl(raw, F_SETFD, FD_CLOEXEC) }
        self.identity = nil
        self.descriptor = descriptor
        self.path = path
    }

    deinit {
        guard let identity else { return }
        var status = stat()
        if lstat(path, &status) == 0, status.st_dev == identity.0, status.st_ino == identity.1 { unlink(path) }
    }

    /// Keeps others of this project from removing, or making, a socket in the same folder meanwhile: what looks dead may be
    /// one that doesn't listen yet. `flock(2)`
    ///
    /// Whoever may read a folder can lock it, for as long as they like. So this waits for a second at most, and goes on
    /// without.
    private static func lockFolder(of path: String) -> FileLock? {
        let folder = path.lastIndex(of: "/").map { path[...$0] } ?? "."
        guard let file = try? Descriptor(reading: String(folder)) else { return nil }
        return try? FileLock(file, milliseconds: 1000)
    }

    private static func removeDeadSocket(at path: String) throws(Errno) {
        var status = stat()
        guard lstat(path, &status) == 0 else { return }
        guard status.st_mode & S_IFMT == S_IFSOCK else { throw .fileExists }
        do throws(Errno) {
            // One that hangs has a full backlog, and would never be connected to.
            _ = try UnixSocket(connectingTo: path, milliseconds: 1000)
            throw Errno.addressInUse
        } catch {
            guard error == .connectionRefused else { throw .addressInUse }
            unlink(path)
        }
    }

    /// The next connection that waits. `accept4(2)`
    ///
    /// - Returns: nil when none waits any more.
    /// - Throws: `.tooManyOpenFiles` and the like; the connection goes on waiting then.
    public func accept() throws(Errno) -> UnixSocket? {
        var entry = pollfd(fd: descriptor.raw, events: Int16(POLLIN), revents: 0)
        guard try systemCall({ poll(&entry, 1, 0) }) > 0 else { return nil }
        let raw = descriptor.raw
        do throws(Errno) {
            return UnixSocket(
                owning: Descriptor(owning: try shim(clinux_accept(raw))))
        } catch {
            if error == .connectionAbort || error == .resourceTemporarilyUnavailable { return nil }
            throw error
        }
    }
}
