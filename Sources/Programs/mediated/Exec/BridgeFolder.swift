import Glibc
import Linux
import Mediation

/// Where the bridges of one user have their sockets: a folder that nobody else sees into.
struct BridgeFolder {
    let path: String

    /// Makes it, where it is not there.
    init() throws(Failure) {
        let user = geteuid()
        let path: String
        if let folder = getenv("XDG_RUNTIME_DIR").map({ String(cString: $0) }), folder.hasPrefix("/") {
            path = folder + "/mediated"
        } else {
            path = user == 0 ? "/run/mediated-programs" : "/tmp/mediated-\(user)"
        }
        do throws(Errno) {
            try makeFolder(path, mode: 0o700, makesParents: false)
        } catch {
            throw Failure(error, cannot: "make", path, otherwise: .cannotCreate)
        }
        var status = stat()
        guard lstat(path, &status) == 0, status.st_mode & S_IFMT == S_IFDIR, status.st_uid == user,
            status.st_mode & 0o077 == 0
        else {
            throw Failure(
                .noPermission,
                "'\(path)' must be a folder of your own that nobody else may use: remove it, or its rights.")
        }
        self.path = path
    }

    /// What the files of a vGPU's bridge are called: by the vGPU's socket, whatever way leads to it.
    func name(ofVGPU socket: String) throws(Failure) -> String {
        var status = stat()
        guard stat(socket, &status) == 0 else {
            let error = Errno(rawValue: errno)
            if error == .permissionDenied {
                throw Failure(.noPermission, "You may not connect to '\(socket)': its permissions don't allow it.")
            }
            throw Failure(.noInput, "There is no socket at '\(socket)'.")
        }
        guard status.st_mode & S_IFMT == S_IFSOCK else { throw Failure(.noInput, "'\(socket)' is no socket.") }
        return path + "/" + String(status.st_dev, radix: 16) + "-" + String(status.st_ino, radix: 16)
    }
}
