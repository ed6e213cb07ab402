import Glibc
import Linux

/// Makes a folder, and those above it, unless they are there.
///
/// Goes down to it from the root folder, and sees to it that nobody else can put something else in the place of what is
/// on the way: each folder, and each symbolic link, is this user's or root's, and others may change none of them,
/// unless, as in /tmp, they may change only what is theirs.
///
/// Folders that a group may write pass: /var/log is of group syslog on Ubuntu, /usr/local of staff on Debian, and a
/// user's own folders of a group that is that user's alone, or isn't. A mode doesn't tell which groups are as good as
/// the owner, and the administrator who made the folder did know. Whoever is in such a group can put a folder aside
/// between two steps, or after the last: the owner must trust them.
///
/// - Parameters:
///   - mode: of the folder, where it is made.
///   - makesParents: whether those above are made too.
/// - Throws: `mkdir(2)`'s error; `.permissionDenied` for what others own, or may change; `.notDirectory` for what is no
///   folder.
public func makeFolder(_ path: String, mode: mode_t, makesParents: Bool = true) throws(Errno) {
    var folder = ""
    var rest = names(of: path)
    var links = 0
    while let name = rest.popLast() {
        if name == ".." {
            // What is behind has no links any more.
            folder = String(folder[..<(folder.lastIndex(of: "/") ?? folder.startIndex)])
            continue
        }
        let next = "\(folder)/\(name)"
        var status = stat()
        if lstat(next, &status) != 0 {
            let error = Errno(rawValue: errno)
            guard error == .noSuchFileOrDirectory, makesParents || rest.isEmpty else { throw error }
            try make(next, mode: rest.isEmpty ? mode : 0o755)
            try call { lstat(next, &status) }
        }
        guard try trustedUsers.contains(status.st_uid) else { throw .permissionDenied }
        switch status.st_mode & S_IFMT {
        case S_IFLNK:
            links += 1
            guard links <= mostLinks else { throw .tooManySymbolicLinkLevels }
            let target = try target(of: next)
            if target.hasPrefix("/") { folder = "" }
            rest += names(of: target)
        case S_IFDIR:
            let isForAll = status.st_mode & S_IWOTH != 0
            guard !isForAll || status.st_mode & S_ISVTX != 0 && !rest.isEmpty else { throw .permissionDenied }
            folder = next
        default: throw .notDirectory
        }
    }
}

/// `path_resolution(7)`
private let mostLinks = 40

/// Root, this user, and whoever owns the root folder: that may be somebody without a name in a user namespace.
private var trustedUsers: Set<uid_t> {
    get throws(Errno) {
        var root = stat()
        try call { lstat("/", &root) }
        return [0, geteuid(), root.st_uid]
    }
}

/// The last one first.
private func names(of path: String) -> [String] {
    path.split(separator: "/").filter { $0 != "." }.reversed().map(String.init)
}

/// Makes one folder in another that is known to be safe. Somebody may have been faster.
private func make(_ path: String, mode: mode_t) throws(Errno) {
    guard mkdir(path, mode) == 0 else {
        guard errno == EEXIST else { throw Errno(rawValue: errno) }
        return
    }
    // The umask has taken from the mode.
    try Descriptor(namingFolder: path).setMode(mode)
}

private func target(of link: String) throws(Errno) -> String {
    var bytes = [CChar](repeating: 0, count: Int(PATH_MAX))
    let count = readlink(link, &bytes, bytes.count)
    guard count >= 0 else { throw Errno(rawValue: errno) }
    return String(decoding: bytes.prefix(count).map(UInt8.init(bitPattern:)), as: UTF8.self)
}

/// - Throws: `errno` when `body` doesn't return 0.
private func call(_ body: () -> Int32) throws(Errno) {
    guard body() == 0 else { throw Errno(rawValue: errno) }
}
