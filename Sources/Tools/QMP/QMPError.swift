import Linux

/// Why a monitor could not be asked, or did not do what it was asked.
public enum QMPError: Error, Equatable, CustomStringConvertible {
    case cannotConnect(path: String, Errno)
    /// Connected, but nothing came: the monitor has another client, or this is none.
    case noGreeting(after: Duration)
    /// Connected, and hung up on without a greeting.
    case noMonitor(path: String)
    /// All commands together took too long, up to this one.
    case tookTooLong(command: String)
    /// QEMU didn't answer a command in time.
    case timedOut(command: String, after: Duration)
    /// QEMU closed the connection.
    case closed
    case connection(Errno)
    /// What came is none of the protocol's messages.
    case malformed(String)
    /// QEMU said no.
    case refused(command: String, class: Class, description: String)

    /// What kind of refusal it is. QapiErrorClass
    public enum Class: String, Sendable {
        case generic = "GenericError"
        case commandNotFound = "CommandNotFound"
        case deviceNotActive = "DeviceNotActive"
        case deviceNotFound = "DeviceNotFound"

        /// A class that nobody knows is a generic one, as the specification wants it.
        init(_ name: String?) {
            self = name.flatMap(Class.init(rawValue:)) ?? .generic
        }
    }

    /// What an error of a system call on the connection means.
    init(_ error: Errno) {
        switch error {
        case .brokenPipe, .connectionReset: self = .closed
        default: self = .connection(error)
        }
    }

    public var description: String {
        switch self {
        case .cannotConnect(let path, .noSuchFileOrDirectory):
            "There is no QMP socket at '\(path)': start QEMU with '-qmp unix:\(path),server=on,wait=off'."
        case .cannotConnect(let path, .connectionRefused):
            "Nobody listens at '\(path)': it is no socket, or its QEMU has ended."
        case .cannotConnect(let path, .permissionDenied):
            "You may not connect to '\(path)': its permissions don't allow it."
        case .cannotConnect(let path, .resourceTemporarilyUnavailable):
            "QEMU accepts no connection at '\(path)': other programs wait for this monitor already."
        case .cannotConnect(let path, .fileNameTooLong):
            "'\(path)' is too long for a socket's path: at most 107 bytes."
        case .cannotConnect(let path, let error): "Can't connect to '\(path)': \(error)."
        case .noGreeting(let limit):
            "QEMU sent no greeting within \(limit.inMilliseconds) ms: the monitor is another program's, which it serves alone "
                + "(give QEMU one more '-qmp'), QEMU hangs, or this is no QMP socket."
        case .noMonitor(let path):
            "What listens at '\(path)' hung up without a greeting: it is no QMP monitor (QEMU makes one by '-qmp "
                + "unix:PATH,server=on,wait=off'), or its QEMU has just ended."
        case .tookTooLong(let command): "QEMU answers too slowly: '\(command)' was not answered before the time was up."
        case .timedOut(let command, let limit): "QEMU didn't answer '\(command)' within \(limit.inMilliseconds) ms."
        case .closed: "QEMU closed the connection: it has ended."
        case .connection(let error): "The connection to QEMU failed: \(error)."
        case .malformed(let reason): "What came is no message of QMP: \(reason)."
        case .refused(let command, _, let description): "QEMU refused '\(command)': \(description)"
        }
    }
}
