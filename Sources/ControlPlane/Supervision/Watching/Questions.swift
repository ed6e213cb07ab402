import Control
import Linux
import Mediation

/// What is asked of device processes that run: one question of each at a time.
final class Questions: Sendable {
    /// How many may wait until a device process has answered somebody else.
    private static let mostWaiting = 16

    private let registry: Registry
    private let directories: Directories
    private let limit: Duration
    private let turns = Turns()

    /// - Parameter limit: how long a process may take for an answer, and others may wait until it has time for them.
    init(_ registry: Registry, _ directories: Directories, limit: Duration) {
        self.registry = registry
        self.directories = directories
        self.limit = limit
    }

    /// The client of an instance's device process, for one at a time: a process that hangs holds up one thread, and
    /// nobody for long.
    ///
    /// - Returns: what `body` made of it, on a thread of its own.
    /// - Throws: ``MediationError/Code/busy`` when too many others wait for the process, or it hasn't answered them in
    ///   time.
    func ask<Value: Sendable>(
        _ id: InstanceID, _ body: @escaping @Sendable (ControlClient) throws -> Value
    ) async throws(MediationError) -> Value {
        guard try registry.instance(id).state == .running else {
            throw MediationError(.conflict, "The vGPU \(id) doesn't run.")
        }
        let asked = ContinuousClock.now
        let refusal = MediationError(
            .busy, "The vGPU \(id) has \(Self.mostWaiting) others to answer. Try again in a moment.")
        return try await turns.take(id, behind: Self.mostWaiting, orThrow: refusal) { () async throws(MediationError) in
            guard ContinuousClock.now - asked < limit else {
                throw MediationError(
                    .busy,
                    "The vGPU \(id) has not answered others for \(limit). Try again, or stop it if it stays so.")
            }
            return try await askAtOnce(id, body)
        }
    }

    /// As ``ask(_:_:)``, beside whoever else asks: for a process that is new, whose start isn't to fail as others wait.
    func askAtOnce<Value: Sendable>(
        _ id: InstanceID, _ body: @escaping @Sendable (ControlClient) throws -> Value
    ) async throws(MediationError) -> Value {
        let path = directories.control(of: id)
        do {
            return try await blocking { [limit] in try body(ControlClient(connectingTo: path, patience: limit)) }
        } catch let error as ControlClientError {
            throw MediationError(error)
        } catch {
            throw MediationError(.failed, "\(error)")
        }
    }
}

extension MediationError {
    /// What a device process said, or why it said nothing.
    fileprivate init(_ error: ControlClientError) {
        let code: Code =
            switch error {
            case .refused(let error):
                switch error.code {
                case .noSuchHead: .notFound
                case .nothingShown, .quota, .monitor, .rule, .notRecording: .conflict
                case .malformed, .version, .unknownRequest, .failed: .failed
                }
            case .cannotConnect, .timedOut, .closed, .connection, .malformedReply: .failed
            }
        self.init(code, error.description)
    }
}
