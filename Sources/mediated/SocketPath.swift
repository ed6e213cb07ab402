import Glibc

/// The path of the vfio-user socket that a command's argument means, absolute, for QEMU has a folder of its own.
func socketPath(of target: String) throws -> String {
    guard !target.isEmpty else { throw Failure(.usage, "The socket's path is empty.") }
    let path = target.hasPrefix("/") ? target : try currentFolder() + "/" + target
    guard path.utf8.count <= 107 else {
        throw Failure(.usage, "'\(path)' is \(path.utf8.count) bytes long, but a socket's path has at most 107.")
    }
    return path
}

private func currentFolder() throws -> String {
    guard let folder = getcwd(nil, 0) else { throw Failure(.io, "The current folder doesn't exist any more.") }
    defer { free(folder) }
    return String(cString: folder)
}
