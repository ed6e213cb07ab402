import Testing

/// The daemon, through its socket.
@Suite(.serialized)
struct DaemonTests {}
