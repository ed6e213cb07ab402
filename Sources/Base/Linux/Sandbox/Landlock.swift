import CLinux
import Glibc

/// The kernel's access control that a process puts on itself, used in the simplest way there is: everything that
/// Landlock can deny is denied everywhere. `landlock(7)`
///
/// The system call filter forbids the calls themselves; this holds if a call, or a way round one, was overlooked there.
enum Landlock {
    /// Rights that came with one version of Landlock's interface.
    private struct Rights {
        var version: Int
        var files: UInt64 = 0
        var network: UInt64 = 0
        var scopes: UInt64 = 0
    }

    /// By number, since the headers at hand may be older than the kernel. `<linux/landlock.h>`
    private static let history = [
        // Execute, read, write; list, make and remove files of every kind. Linux 5.13
        Rights(version: 1, files: 0x1fff),
        // REFER: links and renames between folders. Linux 5.19
        Rights(version: 2, files: 1 << 13),
        // TRUNCATE. Linux 6.2
        Rights(version: 3, files: 1 << 14),
        // NET_BIND_TCP, NET_CONNECT_TCP. Linux 6.7
        Rights(version: 4, network: 0b11),
        // IOCTL_DEV, for device files opened from now on. Linux 6.10
        Rights(version: 5, files: 1 << 15),
        // ABSTRACT_UNIX_SOCKET, SIGNAL: neither connections nor signals leave the process. Linux 6.12
        Rights(version: 6, scopes: 0b11),
        // RESOLVE_UNIX: connections to sockets with a path. Linux 7.1
        Rights(version: 9, files: 1 << 16),
    ]

    /// Denies all of it to the calling thread and those that it starts.
    ///
    /// - Returns: the interface's version; nil when the kernel has no Landlock, or it is switched off.
    static func denyEverything() throws(Errno) -> Int? {
        let version = Int(clinux_landlock_version())
        guard version > 0 else { return nil }
        var all = Rights(version: version)
        for rights in history where rights.version <= version {
            all.files |= rights.files
            all.network |= rights.network
            all.scopes |= rights.scopes
        }
        try shim(clinux_landlock_deny(all.files, all.network, all.scopes, 0))
        return version
    }
}
