import DaemonAPI
import DaemonClient
import Mediation

extension Failure {
    init(_ error: DaemonClientError) {
        let status: ExitStatus =
            switch error {
            case .cannotConnect(_, .permissionDenied): .noPermission
            case .cannotConnect(_, .fileNameTooLong): .usage
            case .cannotConnect, .closed, .timedOut: .unavailable
            case .connection: .io
            case .malformed: .protocol
            case .refused(let problem): Self.status(of: problem.code)
            }
        self.init(status, error.description)
    }

    private static func status(of code: Problem.Code) -> ExitStatus {
        switch code {
        case .invalid: .usage
        case .notFound: .noInput
        case .conflict, .exhausted, .busy: .unavailable
        case .failed: .software
        case .forbidden: .noPermission
        case .methodNotAllowed, .tooLarge, .unsupportedMediaType: .protocol
        }
    }

    init(_ error: MediationError) {
        self.init(Self.status(of: Problem.Code(rawValue: error.code.rawValue) ?? .failed), error.description)
    }
}
