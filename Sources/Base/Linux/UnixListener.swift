import CLinux
import Glibc

/// A listening AF_UNIX stream socket. The path that it has made is removed when it goes away.
public final class UnixListener: Sendable {
    public let descriptor: Descriptor
    public let path: String
    /// Device and inode of the path, so that nothing but our own socket is changed or removed there; nil for what
    /// somebody else has made.
    private let identity: (UInt64, UInt64)?
    private let leavesPath: Bool

    /// Binds and listens at `path`, where the socket appears when it can be connected to. A dead socket that an earlier
    /// process left there is replaced; for one that the process has just left to another this waits for a second.
    ///
    /// - Parameters:
    ///   - mode: the permissions of the socket file. Whoever may write to it may connect.
    ///   - backlog: how many connections may wait to be accepted.
    ///   - leavesPath: whether the path stays when this object goes away, for a process that inherits the socket.
    ///   - takesDescriptors: whether those who connect may send descriptors before
    ///     ``UnixSocket/setTakesDescriptors(_:)`` says
    ///     so, as they may on any kernel before Linux 6.16.
    /// - Throws: `.addressInUse` when another process listens there, `.fileExists` when there is
    ///   something that is no socket, `bind(2)`'s error else.
    public init(
        path: String, mode: mode_t = 0o600, backlog: Int32 = 16, leavesPath: Bool = false,
        takesDescriptors: Bool = false
    )
        throws(Errno)
    {
        let socket = UnixSocket(owning: try UnixSocket.create())
        // Connections begin with what the listener has.
        socket.setTakesDescriptors(takesDescriptors)
        let descriptor = socket.descriptor
        let raw = descriptor.raw
        let lock = Self.lockFolder(of: path)
        let aside = Self.aside(path)
        try Self.removeDeadSocket(at: path)
        try Self.removeDeadSocket(at: aside)
        // bind(2) makes a file with the socket's own mode, less the umask: never with more than is meant, from its
        // first moment on. The umask itself belongs to all threads.
        try systemCall { fchmod(raw, mode) }
        try withSocketAddress(of: aside) { address, size throws(Errno) in
            try systemCall { bind(raw, address, size) }
        }
        do throws(Errno) {
            // What the umask has taken. Others who may write to the folder may have put something else there.
            let file = try Descriptor(naming: aside)
            let status = try file.status()
            guard status.isSocket, status.user == geteuid(), status.links == 1 else { throw .fileExists }
            try file.setMode(mode)
            try systemCall { listen(raw, backlog) }
            try shim(clinux_rename_new(aside, path))
            self.identity = (status.device, status.inode)
        } catch {
            unlink(aside)
            throw error
        }
        _ = consume lock
        self.leavesPath = leavesPath
        self.descriptor = descriptor
        self.path = path
    }

    /// Why there is no socket at a path, as a sentence.
    public static func explanation(of error: Errno, at path: String) -> String {
        switch error {
        case .addressInUse: "Another process serves '\(path)'; stop it or choose another path."
        case .fileExists: "'\(path)' exists and is no socket; remove it or choose another path."
        case .fileNameTooLong: "'\(path)' is too long for a socket: 107 bytes at most."
        case .noSuchFileOrDirectory: "The folder of '\(path)' does not exist; make it first."
        default: "The socket '\(path)' can't be made: \(error)."
        }
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
        let socket = UnixSocket(owning: descriptor)
        socket.setTakesDescriptors(false)
        self.identity = nil
        self.leavesPath = true
        self.descriptor = socket.descriptor
        self.path = path
    }

    deinit {
        if !leavesPath, (try? file()) != nil { unlink(path) }
    }

    /// Gives the socket's file another owner and other permissions.
    ///
    /// - Throws: `.noSuchFileOrDirectory` when the path is no more what this object has made.
    public func setAccess(user: UInt32? = nil, group: UInt32? = nil, mode: mode_t) throws(Errno) {
        let file = try file()
        try file.setOwner(user: user, group: group)
        try file.setMode(mode)
    }

    private func file() throws(Errno) -> Descriptor {
        let file = try Descriptor(naming: path)
        let status = try file.status()
        guard let identity, identity == (status.device, status.inode) else { throw .noSuchFileOrDirectory }
        return file
    }

    /// Where the socket is made: beside the path, and no longer than that, which has a limit.
    private static func aside(_ path: String) -> String {
        String(path.dropLast()) + (path.last == "~" ? "-" : "~")
    }

    /// Keeps others of this project from removing, or making, a socket in the same folder meanwhile: what looks dead
    /// may be one that doesn't listen yet. `flock(2)`
    ///
    /// Whoever may read a folder can lock it, for as long as they like. So this waits for a second at most, and goes on
    /// without.
    private static func lockFolder(of path: String) -> FileLock? {
        let folder = path.lastIndex(of: "/").map { path[...$0] } ?? "."
        guard let file = try? Descriptor(reading: String(folder)) else { return nil }
        return try? FileLock(file, within: .seconds(1))
    }

    private static func removeDeadSocket(at path: String) throws(Errno) {
        var status = stat()
        guard lstat(path, &status) == 0 else { return }
        guard status.st_mode & S_IFMT == S_IFSOCK else { throw .fileExists }
        do throws(Errno) {
            // One that hangs has a full backlog, and would never be connected to.
            let connection = try UnixSocket(connectingTo: path, within: .seconds(1))
            guard try hasEnded(connection.peer().pid) else { throw .addressInUse }
            // A program that it was just starting has the listener until `execve(2)`, and turns those who wait away
            // then.
            _ = try connection.waitReadable(within: .seconds(1))
            _ = try UnixSocket(connectingTo: path, within: .seconds(1))
            throw Errno.addressInUse
        } catch {
            guard error == .connectionRefused else { throw .addressInUse }
            unlink(path)
        }
    }

    /// - Parameter process: 0 for one of another namespace, of which that isn't known.
    private static func hasEnded(_ process: Int32) -> Bool {
        process > 0 && kill(process, 0) != 0 && errno == ESRCH
    }

    /// The next connection that waits. `accept4(2)`
    ///
    /// - Parameter lane: where it is closed, and what comes over it. One that has taken no descriptor, and takes none,
    ///   needs no lane.
    /// - Returns: nil when none waits any more.
    /// - Throws: `.tooManyOpenFiles` and the like; the connection goes on waiting then.
    public func accept(closedIn lane: ClosingLane? = nil) throws(Errno) -> UnixSocket? {
        var entry = pollfd(fd: descriptor.raw, events: Int16(POLLIN), revents: 0)
        guard try systemCall({ poll(&entry, 1, 0) }) > 0 else { return nil }
        let raw = descriptor.raw
        do throws(Errno) {
            let socket = UnixSocket(owning: Descriptor(owning: try shim(clinux_accept(raw))))
            guard let lane, socket.takesDescriptors() else { return socket }
            return socket.closed(in: lane)
        } catch {
            if error == .connectionAbort || error == .resourceTemporarilyUnavailable { return nil }
            throw error
        }
    }
}
