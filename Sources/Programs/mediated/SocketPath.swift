import DaemonClient
import Glibc
import Mediation

/// The path of the vfio-user socket that a command's argument means, absolute, for QEMU has a folder of its own.
func socketPath(of target: String) throws -> String {
    guard !target.isEmpty else { throw Failure(.usage, "The socket's path is empty.") }
    let path = target.hasPrefix("/") ? target : try currentFolder() + "/" + target
    guard path.utf8.count <= 107 else {
        throw Failure(.usage, "'\(path)' is \(path.utf8.count) bytes long, but a socket's path has at most 107.")
    }
    return path
}

extension DaemonOptions {
    /// The path of the vfio-user socket that a command's argument means: itself, or that of the vGPU whose UUID it is.
    ///
    /// - Parameter mustRun: whether a vGPU must be active, so that the socket is there.
    func socketPath(of target: String, mustRun: Bool = true) throws -> String {
        guard let id = InstanceID(target) else { return try mediated.socketPath(of: target) }
        let vgpu = try ask { client throws(DaemonClientError) in try client.vgpu(id) }
        if let socket = vgpu.socket { return socket }
        guard !mustRun else {
            if let domain = vgpu.domain {
                throw Failure(
                    .unavailable,
                    "The vGPU \(id) is in domain \(domain), and has no socket: take it out with 'mediated detach \(id)'."
                )
            }
            throw Failure(.unavailable, "The vGPU \(id) is \(vgpu.state): start it with 'mediated start \(id)'.")
        }
        return try directories().socket(of: id)
    }
}

private func currentFolder() throws -> String {
    guard let folder = getcwd(nil, 0) else { throw Failure(.io, "The current folder doesn't exist any more.") }
    defer { free(folder) }
    return String(cString: folder)
}
