/// Who may be a client of a server by the kernel's word, whoever else may open its socket. Root and the user whom the
/// server runs as always may.
public struct AllowedPeers: Equatable, Sendable {
    public var users: Set<UInt32>
    /// Groups of which a client's process must have one, as its own or as a supplementary one.
    public var groups: Set<UInt32>

    public init(users: Set<UInt32> = [], groups: Set<UInt32> = []) {
        self.users = users
        self.groups = groups
    }

    /// Whether the peer of a connection is one of them. `SO_PEERCRED`, `SO_PEERGROUPS`
    ///
    /// - Parameter user: whom the server runs as.
    public func admits(
        _ peer: UnixSocket.Peer, at socket: borrowing UnixSocket, besides user: UInt32
    ) throws(Errno) -> Bool {
        if peer.uid == 0 || peer.uid == user || users.contains(peer.uid) { return true }
        if groups.contains(peer.gid) { return true }
        return try groups.isEmpty ? false : !groups.isDisjoint(with: socket.peerGroups())
    }
}
