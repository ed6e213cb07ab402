import Glibc

/// A pipe that processes find by its name. `fifo(7)`
public enum NamedPipe {
    /// Makes one. `mkfifo(3)`
    ///
    /// - Parameter mode: its permissions, less the umask.
    public static func make(_ path: String, mode: mode_t) throws(Errno) {
        try systemCall { mkfifo(path, mode) }
    }

    /// An end to read from, whether or not anybody has it open for writing. It doesn't block.
    public static func reader(_ path: String) throws(Errno) -> Descriptor {
        try open(path, O_RDONLY)
    }

    /// An end to write to. It is open for reading as well, so that it can be written to without another reader, as long
    /// as there is room. It doesn't block.
    public static func writer(_ path: String) throws(Errno) -> Descriptor {
        try open(path, O_RDWR)
    }

    private static func open(_ path: String, _ access: Int32) throws(Errno) -> Descriptor {
        Descriptor(owning: try systemCall { Glibc.open(path, access | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC) })
    }
}
