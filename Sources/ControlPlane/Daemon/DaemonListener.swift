import Glibc
import Linux
import Mediation

/// The control socket: the one that systemd has made (``ServiceManager``), or one of our own.
struct DaemonListener: Sendable {
    private let listener: UnixListener
    /// Who may be a client, besides root and the daemon's user.
    let allowed: AllowedPeers

    var path: String { listener.path }
    var descriptor: Int32 { listener.descriptor.raw }

    /// - Parameter group: whose members may connect; nobody does if there is no such group.
    init(directories: Directories, group: String) throws(DaemonError) {
        let number = Accounts.group(named: group)
        let path = directories.daemon
        if let inherited = ServiceManager.takeListener() {
            do throws(Errno) { listener = try UnixListener(adopting: inherited, path: path) } catch {
                throw DaemonError("Can't serve what was passed as the control socket: \(error)")
            }
        } else {
            listener = try step("listen at '\(path)'") { () throws(Errno) in
                let listener = try UnixListener(path: path, mode: 0o600, backlog: 128)
                // Only root may give a file to a group that it isn't in.
                if let number { try? listener.setAccess(group: number, mode: 0o660) }
                return listener
            }
        }
        allowed = AllowedPeers(groups: number.map { [$0] } ?? [])
    }

    /// - Returns: a connection, to be closed in a lane, since nobody knows who it is of.
    func accept() throws(Errno) -> UnixSocket? { try listener.accept(closedIn: .of(peer: path)) }
}
