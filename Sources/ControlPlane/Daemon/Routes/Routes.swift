import Control
import DaemonAPI
import Linux
import Mediation
import Supervision

/// What the daemon answers: each group of routes has a file of its own.
struct Routes: Sendable {
    let manager: Manager
    let directories: Directories
    let statistics: DaemonStatistics
    /// One picture or recording of a vGPU at a time, as each takes much memory.
    let largeAnswers = Turns()

    var router: Router { Router(status + catalogue + vgpus + domains + devices + journal + metrics) }

    private var status: [Router.Route] {
        [
            Router.Route(.GET, "/v1/status") { [statistics] _, _ throws(Problem) in
                try HTTPResponse(
                    DaemonStatus(
                        version: Version.current, pid: statistics.process, uptimeSeconds: statistics.uptimeSeconds))
            }
        ]
    }
}

extension Problem {
    /// What the manager says, for HTTP.
    init(_ error: MediationError) {
        switch error.code {
        case .invalid: self.init(.unprocessableEntity, .invalid, error.description)
        case .notFound: self.init(.notFound, .notFound, error.description)
        case .conflict: self.init(.conflict, .conflict, error.description)
        case .exhausted: self.init(.conflict, .exhausted, error.description)
        case .busy: self.init(.serviceUnavailable, .busy, error.description)
        case .failed: self.init(.internalServerError, .failed, error.description)
        }
    }
}

/// Does what the manager is asked for, and puts its errors into HTTP's words.
func answering<Value: Sendable>(
    _ body: () async throws(MediationError) -> Value
) async throws(Problem) -> Value {
    do throws(MediationError) { return try await body() } catch { throw Problem(error) }
}

/// A vGPU's UUID out of a path.
func instanceID(_ text: String) throws(Problem) -> InstanceID {
    guard let id = InstanceID(text) else {
        throw Problem(.badRequest, .invalid, "'\(text)' is no UUID, such as \(InstanceID()).")
    }
    return id
}
