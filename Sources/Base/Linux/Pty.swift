import CLinux
import Glibc

/// A pseudo-terminal in raw mode: this process holds the master, others open the slave and leave it
/// again, as often as they like. `pty(7)`
public final class Pty: Sendable {
    /// The bytes to and from whoever has the slave open.
    public let stream: ByteStream
    /// The slave, such as `/dev/pts/3`.
    public let path: String
    /// A symbolic link to ``path``, removed when the terminal goes away.
    public let link: String?
    /// Readable when somebody has opened the slave since ``consumeOpenings()``. `inotify(7)`
    public let openings: Descriptor

    /// - Parameter link: where to make a symbolic link to the slave. A symbolic link that an earlier process left there
    ///   is replaced.
    /// - Throws: `.addressInUse` when the link leads to another's terminal, `.fileExists` when there is something else
    ///   at `link`, and what the system refuses.
    public init(link: String? = nil) throws(Errno) {
        // "/dev/pts/" and a number of at most 7 digits (NR_UNIX98_PTY_MAX).
        var name = InlineArray<32, CChar>(repeating: 0)
        var span = name.mutableSpan
        // SAFETY: the pointer is used during the call only; the call writes a terminated string or fails.
        let opened = span.withUnsafeMutableBufferPointer { name in
            (clinux_open_pty(name.baseAddress, name.count), String(cString: name.baseAddress!))
        }
        let master = Descriptor(owning: try shim(opened.0))
        let path = opened.1
        // The master tells that nobody has the slave open only after somebody had.
        _ = Descriptor(owning: try systemCall { open(path, O_RDWR | O_NOCTTY | O_CLOEXEC) })
        openings = Descriptor(owning: try shim(clinux_watch_openings(path)))
        if let link { try Self.makeLink(at: link, to: path) }
        stream = ByteStream(terminal: master)
        self.path = path
        self.link = link
    }

    deinit {
        guard let link, Self.destination(of: link) == path else { return }
        unlink(link)
    }

    /// Whether somebody has the slave open, or had and left something to read.
    public var isInUse: Bool {
        var entry = pollfd(fd: stream.descriptor.raw, events: Int16(POLLIN), revents: 0)
        guard poll(&entry, 1, 0) >= 0 else { return false }
        return entry.revents & Int16(POLLHUP) == 0 || entry.revents & Int16(POLLIN) != 0
    }

    /// Forgets the openings so far, so that ``openings`` tells of the next one.
    public func consumeOpenings() {
        // SAFETY: the pointer is used during the call only. Each record is 16 bytes, without a name.
        withUnsafeTemporaryAllocation(byteCount: 1024, alignment: 8) { records in
            while let count = try? openings.read(into: records), count > 0 {}
        }
    }

    private static func makeLink(at link: String, to path: String) throws(Errno) {
        if let destination = destination(of: link) {
            guard !isTerminal(destination, sinceBefore: link) else { throw .addressInUse }
            unlink(link)
        }
        try systemCall { symlink(path, link) }
    }

    /// Whether a link leads to the terminal that it was made for. A terminal is there as long as its master is open;
    /// one that is younger than the link has only got the same number.
    private static func isTerminal(_ path: String, sinceBefore link: String) -> Bool {
        var (terminal, made) = (stat(), stat())
        guard lstat(path, &terminal) == 0, terminal.st_mode & S_IFMT == S_IFCHR, lstat(link, &made) == 0 else {
            return false
        }
        let (first, second) = (terminal.st_ctim, made.st_ctim)
        return (first.tv_sec, first.tv_nsec) <= (second.tv_sec, second.tv_nsec)
    }

    /// Where a symbolic link leads; nil when there is none.
    private static func destination(of link: String) -> String? {
        var bytes = [UInt8](repeating: 0, count: Int(PATH_MAX))
        // SAFETY: the pointer is used during the call only.
        let count = bytes.withUnsafeMutableBytes { readlink(link, $0.baseAddress!, $0.count) }
        return count < 0 ? nil : String(decoding: bytes[..<count], as: UTF8.self)
    }
}
