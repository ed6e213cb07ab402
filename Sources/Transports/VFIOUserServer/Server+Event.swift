import Linux

extension Server {
    /// Something that an administrator may want to know.
    public enum Event: Equatable, Sendable, CustomStringConvertible {
        case clientConnected(UnixSocket.Peer)
        case clientLeft(reason: String)
        /// Somebody who is none of ``Configuration/allowedPeers``.
        case clientDenied(UnixSocket.Peer)
        /// Another one is the client.
        case clientRefused(UnixSocket.Peer)
        /// A client has sent no version message in time, and leaves.
        case clientSilent(for: Duration)
        /// No descriptors or no memory; the server tries again.
        case connectionFailed(Errno)

        /// A sentence.
        public var description: String {
            switch self {
            case .clientConnected(let peer): "A client connected: \(Self.name(peer))."
            case .clientLeft(let reason): "The client's session ended: \(reason)."
            case .clientDenied(let peer): "\(Self.name(peer)) may not use this vGPU."
            case .clientRefused(let peer): "\(Self.name(peer)) was refused: another client is connected."
            case .clientSilent(let time): "The client sent no version message in \(time.inMilliseconds) ms."
            case .connectionFailed(let error): "A connection could not be taken: \(error)."
            }
        }

        private static func name(_ peer: UnixSocket.Peer) -> String {
            "uid \(peer.uid) (process \(peer.pid))"
        }
    }
}
