import Control
import Linux
import VFIOUserClient

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
    /// As env(1), nice(1) and timeout(1) have these.
    case notRunnable = 126
    case noProgram = 127

    var meaning: String {
        switch self {
        case .usage: "the command line is wrong: an unknown type, parent, option or head, or a bad value"
        case .badState:
            "a saved state does not fit the device, or a device or client does something else than its recording"
        case .noInput: "a vGPU, domain, socket or file that was named does not exist"
        case .unavailable:
            "nobody listens or answers, the socket is taken, a head shows nothing, a parent has not enough left, or a vGPU or "
                + "virtual machine can't do it now"
        case .software: "the daemon, the device process or QEMU failed to do what was asked"
        case .systemFile: "mediated-device or mediated-daemon is missing or can't be started"
        case .cannotCreate: "a file or socket can't be created"
        case .io: "reading or writing failed"
        case .protocol: "the other side speaks another protocol or version"
        case .noPermission: "permissions don't allow it"
        case .notRunnable: "the program that 'mediated exec' was given can't be run"
        case .noProgram: "the program that 'mediated exec' was given doesn't exist"
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

    /// What went wrong with the server at `socket`; `purpose` is as in "can't be inspected".
    init(_ error: ClientError, _ socket: String, purpose: String) {
        switch error {
        case .system(.noSuchFileOrDirectory), .system(.notDirectory):
            self.init(.noInput, "There is no socket at '\(socket)'.")
        case .system(.permissionDenied):
            self.init(.noPermission, "You may not connect to '\(socket)': its permissions don't allow it.")
        case .system(.connectionRefused):
            self.init(.unavailable, "Nobody listens at '\(socket)'.")
        case .system(.fileNameTooLong):
            self.init(.usage, "'\(socket)' is too long for a socket's path: at most 107 bytes.")
        case .refused(_, .resourceBusy):
            self.init(
                .unavailable,
                "The device at '\(socket)' is in use by another client, such as a virtual machine: stop that first, "
                    + "or ask the device process with 'mediated info' and 'mediated statistics'.")
        case .timedOut(.version):
            // Some servers leave a second client waiting until the first one has gone.
            self.init(
                .unavailable,
                "The server at '\(socket)' does not answer: it hangs, is in use by another client, such as a virtual "
                    + "machine, or is no vfio-user server.")
        case .refused, .disconnected, .timedOut, .unavailable:
            self.init(.unavailable, "The device at '\(socket)' can't be \(purpose). \(error)")
        case .malformed, .version:
            self.init(.protocol, "What listens at '\(socket)' is no vfio-user server of version 0.0. \(error)")
        case .system:
            self.init(.io, "The connection to '\(socket)' failed. \(error)")
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
            case .noSuchHead, .quota, .monitor, .rule: .usage
            case .nothingShown, .notRecording: .unavailable
            case .malformed, .version, .unknownRequest: .protocol
            case .failed: .software
            }
        }
    }
}
