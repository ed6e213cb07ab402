import CLinux
import Glibc

/// The kernel's access control that a process puts on itself: everything that Landlock can deny is denied everywhere,
/// but for the files that a process can't do without. `landlock(7)`
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

    /// Denies all of it to the calling thread and those that it starts, but for what is said here.
    ///
    /// - Parameter exceptions: files and folders, what is missing among them, or lies where the caller may not look, being left
    ///   out.
    /// - Returns: the interface's version; nil when the kernel has no Landlock, or it is switched off.
    static func denyEverything(but exceptions: [Exception] = []) throws(Errno) -> Int? {
        let version = Int(clinux_landlock_version())
        guard version > 0 else { return nil }
        var all = Rights(version: version)
        for rights in history where rights.version <= version {
            all.files |= rights.files
            all.network |= rights.network
            all.scopes |= rights.scopes
        }
        let rules = Descriptor(owning: try shim(clinux_landlock_rules(all.files, all.network, all.scopes)))
        for exception in exceptions {
            let rights = exception.use.rights & all.files
            do throws(Errno) { try shim(clinux_landlock_allow(rules.raw, exception.path, rights)) } catch {
                guard [.noSuchFileOrDirectory, .notDirectory, .permissionDenied].contains(error) else { throw error }
            }
        }
        try shim(clinux_landlock_obey(rules.raw))
        return version
    }

    /// A file, or a folder and all below it, and what may be done there.
    struct Exception {
        enum Use {
            case list, readAndRun, readAndWrite

            /// Of `LANDLOCK_ACCESS_FS_`: READ_DIR; EXECUTE, READ_FILE and READ_DIR; WRITE_FILE, READ_FILE and IOCTL_DEV.
            fileprivate var rights: UInt64 {
                switch self {
                case .list: 1 << 3
                case .readAndRun: 1 << 0 | 1 << 2 | 1 << 3
                case .readAndWrite: 1 << 1 | 1 << 2 | 1 << 15
                }
            }
        }

        let path: String
        let use: Use
    }
}
