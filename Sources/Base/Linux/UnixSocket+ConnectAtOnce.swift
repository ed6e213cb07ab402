import Glibc

extension UnixSocket {
    /// Connects to the socket at `path`, or doesn't, without waiting; nothing that is done with the socket waits
    /// either. Its peer can't send descriptors until ``setTakesDescriptors(_:)`` says so.
    ///
    /// - Throws: `connect(2)`'s error, `.resourceTemporarilyUnavailable` when the listener's backlog is full;
    ///   `.fileNameTooLong` for a path over 107 bytes; `.tooManyReferences` when too much of what came from there
    ///   before is still to be closed (``ClosingLane``).
    public init(connectingAtOnceTo path: String) throws(Errno) {
        let lane = ClosingLane.of(peer: path)
        guard lane.hasRoom else { throw .tooManyReferences }
        let socket = UnixSocket(owning: try Self.create())
        socket.setTakesDescriptors(false)
        try socket.descriptor.setNonblocking(true)
        let raw = socket.descriptor.raw
        try withSocketAddress(of: path) { address, size throws(Errno) in
            try systemCall { connect(raw, address, size) }
        }
        self = socket.closed(in: lane)
    }
}
