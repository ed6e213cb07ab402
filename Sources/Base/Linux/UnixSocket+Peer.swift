import CLinux
import Glibc

extension UnixSocket {
    /// Who is at the other end, as the kernel saw it when the connection was made.
    public struct Peer: Equatable, Sendable {
        /// 0 when it lives in another namespace of processes.
        public var pid: Int32
        /// The effective user and group.
        public var uid: UInt32
        public var gid: UInt32

        public init(pid: Int32, uid: UInt32, gid: UInt32) {
            self.pid = pid
            self.uid = uid
            self.gid = gid
        }
    }

    /// The peer's process, user and group. `SO_PEERCRED`
    public borrowing func peer() throws(Errno) -> Peer {
        var pid: pid_t = 0
        var uid: uid_t = 0
        var gid: gid_t = 0
        try shim(clinux_peer_credentials(descriptor.raw, &pid, &uid, &gid))
        return Peer(pid: pid, uid: uid, gid: gid)
    }

    /// The peer's supplementary groups; ``Peer/gid`` need not be among them. `SO_PEERGROUPS`
    public borrowing func peerGroups() throws(Errno) -> [UInt32] {
        var groups: [gid_t] = []
        // The kernel says how many there are when they don't fit. They never change: the second call is the last.
        while true {
            var count = groups.count
            let result = clinux_peer_groups(descriptor.raw, &groups, &count)
            if result == -ERANGE, count > groups.count {
                groups = Array(repeating: 0, count: count)
                continue
            }
            try shim(result)
            return Array(groups.prefix(count))
        }
    }
}
