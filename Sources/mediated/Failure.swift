import Control
import Linux

/// The exit statuses, as in sysexits.h.
enum ExitStatus: Int32, CaseIterable {
    case usage = 64
    case badState = 65
    case noInput = 66
    case unavailable = 69
    case software = 70
    case systemFile = 72
    case cannotCreate = 73
    case io = 74
    case `protocol` = 76
    case noPermission = 77

    var meaning: String {
        switch self {
        case .usage: "the command line is wrong: an unknown type, option or head, or a bad value"
        case .badState: "a saved state does not fit the device"
        case .noInput: "a socket or file that was named does not exist"
        case .unavailable: "nobody listens or answers, the socket is taken, or a head shows nothing"
        case .software: "the device process failed to do what was asked"
        case .systemFile: "the mediated-device program is missing or can't be started"
        case .cannotCreate: "a file or socket can't be created"
        case .io: "reading or writing failed"
        case .protocol: "the other side speaks another protocol or version"
        case .noPermission: "permissions don't allow it"
        }
    }

    static var help: String {
        "Exit status: 0 when all went well, else\n"
            + allCases.map { "  \($0.rawValue)  \($0.meaning)" }.joined(separator: "\n")
    }
}

/// Why a command failed: the process's exit status, and a sentence for the user.
struct Failure: Error {
    let status: ExitStatus
    let message: String

    init(_ status: ExitStatus, _ message: String) {
        self.status = status
        self.message = message
    }

    init(_ error: ControlClientError) {
        self.init(Self.status(of: error), error.description)
    }

    /// A file or folder that can't be used; `purpose` is as in "write the picture to".
    init(_ error: Errno, cannot purpose: String, _ path: String, otherwise status: ExitStatus) {
        switch error {
        case .permissionDenied, .notPermitted, .readOnlyFileSystem:
            self.init(.noPermission, "Can't \(purpose) '\(path)': \(error).")
        case .fileExists:
            self.init(status, "Can't \(purpose) '\(path)': something that is no regular file is there.")
        case .noSuchFileOrDirectory where status == .cannotCreate:
            self.init(status, "Can't \(purpose) '\(path)': its folder doesn't exist.")
        default:
            self.init(status, "Can't \(purpose) '\(path)': \(error).")
        }
    }

    private static func status(of error: ControlClientError) -> ExitStatus {
        switch error {
        case .cannotConnect(_, .noSuchFileOrDirectory), .cannotConnect(_, .notDirectory): .noInput
        case .cannotConnect(_, .permissionDenied): .noPermission
        case .cannotConnect(_, .fileNameTooLong): .usage
        case .cannotConnect, .timedOut, .closed: .unavailable
        case .connection: .io
        case .malformedReply: .protocol
        case .refused(let refusal):
            switch refusal.code {
            case .noSuchHead, .quota: .usage
            case .nothingShown: .unavailable
            case .malformed, .version, .unknownRequest: .protocol
            case .failed: .software
            }
        }
    }
}
