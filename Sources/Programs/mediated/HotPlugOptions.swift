import ArgumentParser
import Linux
import QMP

/// Which virtual machine a command is for.
struct HotPlugOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp("QEMU's monitor: a QMP socket that no other program uses.", valueName: "socket"),
        completion: .file())
    var qmp: String?

    /// Connects to the virtual machine and does something with it.
    ///
    /// - Parameters:
    ///   - force: what `--force` would do, for refusals that it overrides.
    ///   - seconds: how long the guest may take; QEMU itself has a minute besides.
    func withMachine<Result>(force: String, within limit: Duration, _ body: (HotPlug) throws -> Result) throws -> Result
    {
        guard let qmp else { throw Failure(.usage, "QEMU's monitor isn't named: give --qmp SOCKET.") }
        do {
            let end = Deadline(after: limit + .seconds(60))
            return try body(HotPlug(QMPClient(connectingTo: qmp, end: end)))
        } catch let error as QMPError {
            throw Failure(error)
        } catch let error as HotPlugError {
            let hint = error.isOverridable ? " --force \(force) all the same." : ""
            throw Failure(.unavailable, error.description + hint)
        }
    }
}

extension HotPlugError {
    /// Whether it is the user's to decide.
    fileprivate var isOverridable: Bool {
        switch self {
        case .privateMemory, .hasMSIX: true
        default: false
        }
    }
}

extension Failure {
    fileprivate init(_ error: QMPError) {
        let status: ExitStatus =
            switch error {
            case .cannotConnect(_, .noSuchFileOrDirectory), .cannotConnect(_, .notDirectory): .noInput
            case .cannotConnect(_, .permissionDenied): .noPermission
            case .cannotConnect(_, .fileNameTooLong): .usage
            case .cannotConnect, .noGreeting, .timedOut, .tookTooLong, .closed: .unavailable
            case .connection: .io
            case .malformed, .noMonitor: .protocol
            case .refused: .software
            }
        self.init(status, error.description)
    }
}
