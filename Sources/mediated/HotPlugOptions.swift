import ArgumentParser
import QMP

/// Which virtual machine a command is for.
struct HotPlugOptions: ParsableArguments {
    @Option(help: ArgumentHelp("QEMU's monitor: a QMP socket that no other program uses.", valueName: "socket"))
    var qmp: String

    /// Connects to the virtual machine and does something with it.
    ///
    /// - Parameter force: what `--force` would do, for refusals that it overrides.
    func withMachine<Result>(force: String, _ body: (HotPlug) throws -> Result) throws -> Result {
        do {
            return try body(HotPlug(QMPClient(connectingTo: qmp)))
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
            case .cannotConnect, .noGreeting, .timedOut, .closed: .unavailable
            case .connection: .io
            case .malformed: .protocol
            case .refused: .software
            }
        self.init(status, error.description)
    }
}
