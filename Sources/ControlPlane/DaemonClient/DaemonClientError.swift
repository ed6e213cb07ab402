import DaemonAPI
import Glibc
import Linux
import NIOCore
import NIOHTTP1

/// Why the daemon gave no answer, or not the one that was hoped for.
public enum DaemonClientError: Error, Equatable, CustomStringConvertible {
    case cannotConnect(path: String, Errno)
    /// The connection failed while it was in use.
    case connection(Errno)
    /// The daemon has hung up before it had answered.
    case closed
    case timedOut
    /// The answer is none of this API.
    case malformed(String)
    /// The daemon said no.
    case refused(Problem)

    /// Whether there is no daemon, as far as its socket tells.
    public var isNobodyThere: Bool {
        switch self {
        case .cannotConnect(_, .noSuchFileOrDirectory), .cannotConnect(_, .notDirectory),
            .cannotConnect(_, .connectionRefused):
            true
        default: false
        }
    }

    public var description: String {
        switch self {
        case .cannotConnect(let path, _) where isNobodyThere:
            "No daemon listens at '\(path)': start it with 'mediated daemon' or 'systemctl start mediated'."
        case .cannotConnect(let path, .permissionDenied):
            "You may not connect to the daemon at '\(path)': only its user and the members of its group may."
        case .cannotConnect(let path, .fileNameTooLong):
            "'\(path)' is too long for a socket's path: choose a shorter root."
        case .cannotConnect(let path, let error): "Can't connect to the daemon at '\(path)': \(error)."
        case .connection(let error): "The connection to the daemon failed: \(error)."
        case .closed: "The daemon has ended, or takes no more connections of this user."
        case .timedOut: "The daemon doesn't answer."
        case .malformed(let reason): "The daemon's answer is none that this program understands: \(reason)."
        case .refused(let problem): problem.detail
        }
    }
}

extension DaemonClientError {
    /// What NIO says of a connection.
    init(_ error: any Error) {
        switch error {
        case let error as DaemonClientError: self = error
        // A daemon that is killed resets what it hasn't read.
        case let error as IOError where [ECONNRESET, EPIPE].contains(error.errnoCode): self = .closed
        case let error as IOError: self = .connection(Errno(rawValue: error.errnoCode))
        case is ChannelError, HTTPParserError.invalidEOFState: self = .closed
        default: self = .malformed("\(error)")
        }
    }
}
