import CLinux

/// Mounts that this process and those that it becomes or starts see alone. `mount_namespaces(7)`
public enum PrivateMounts {
    /// From here on this process, which has one thread, has mounts of its own. What others mount later comes here, too.
    ///
    /// A process without the right to mount gets a user namespace for it, in which it is still the same user.
    ///
    /// - Throws: `unshare(2)`'s error, such as `.notPermitted` where users may have no namespaces; `.invalidArgument`
    ///   when there are further threads.
    public static func begin() throws(Errno) { try shim(clinux_private_mounts()) }

    /// Has a path show what is at another one. An empty file is made there for it where nothing is. `MS_BIND`
    ///
    /// - Throws: `mount(2)`'s error; `.invalidArgument` when something that is neither a file nor a socket is there.
    public static func cover(_ path: String, by source: String) throws(Errno) { try shim(clinux_cover(path, source)) }
}
