import Linux
import VFIO

/// What can go wrong between a client and its server.
public enum ClientError: Error, Equatable, CustomStringConvertible {
    /// The server answered a command with an errno.
    case refused(Command, Errno)
    /// A reply is not what its command requires.
    case malformed(Command, MalformedMessage)
    /// The server closed the connection, or its messages can't be told apart any more.
    case disconnected
    /// The server did not answer within the time that the client has.
    case timedOut(Command)
    /// A system call of the client's own failed.
    case system(Errno)
    /// The server speaks another version of the protocol.
    case version(major: UInt16, minor: UInt16)
    /// The device has no such thing: a sentence.
    case unavailable(String)

    public var description: String {
        switch self {
        case .refused(let command, let errno): "The server refused \(command): \(errno)."
        case .malformed(let command, let problem): "The reply to \(command) makes no sense. \(problem)"
        case .disconnected: "The server closed the connection."
        case .timedOut(let command): "The server did not answer \(command) in time."
        case .system(let errno): "A system call failed: \(errno)."
        case .version(let major, let minor): "The server speaks version \(major).\(minor) of vfio-user, not 0.0."
        case .unavailable(let reason): reason
        }
    }
}
