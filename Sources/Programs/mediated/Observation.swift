import Control
import DaemonClient
import JSON
import Linux
import Mediation
import Metrics

/// Whom a command watches.
enum Watched: Hashable, Sendable {
    /// A device process on this host, by its vfio-user socket.
    case socket(String)
    /// A vGPU of the daemon that listens at a path.
    case vgpu(InstanceID, daemon: String)

    /// How the user names it.
    var name: String {
        switch self {
        case .socket(let path): path
        case .vgpu(let id, _): "\(id)"
        }
    }

    /// - Parameter limit: how long it may take.
    fileprivate func ask(within limit: Duration) throws(Observation.Failure) -> (info: ControlInfo, statistics: JSON) {
        switch self {
        case .socket(let path):
            do throws(ControlClientError) {
                let client = try ControlClient(
                    connectingTo: ControlClient.path(besides: path), patience: limit,
                    deadline: Deadline(after: limit))
                return (try client.info(), try client.statistics())
            } catch {
                throw .process(error)
            }
        case .vgpu(let id, let path):
            do throws(DaemonClientError) {
                let client = DaemonClient(path: path, patience: limit)
                return (try client.get("/v1/vgpus/\(id)/info"), try client.json("/v1/vgpus/\(id)/statistics"))
            } catch {
                throw .daemon(error)
            }
        }
    }
}

/// What there was to learn of a device process at one moment.
struct Observation: Sendable {
    let watched: Watched
    /// When, in nanoseconds on the monotonic clock.
    let time: UInt64
    let result: Result<Answer, Failure>

    struct Answer: Sendable {
        let info: ControlInfo
        let statistics: VGPUStatistics
        let usage: ProcessUsage?
    }

    enum Failure: Error, CustomStringConvertible {
        case process(ControlClientError)
        case daemon(DaemonClientError)

        var description: String {
            switch self {
            case .process(let error): error.description
            case .daemon(let error): error.description
            }
        }
    }

    init(_ watched: Watched, time: UInt64, _ result: Result<Answer, Failure>) {
        self.watched = watched
        self.time = time
        self.result = result
    }

    /// Asks a device process, or the daemon for it.
    ///
    /// - Parameter limit: how long it may take.
    init(asking watched: Watched, within limit: Duration) {
        let result = Result { () throws(Failure) in
            let (info, statistics) = try watched.ask(within: limit)
            return Answer(
                info: info, statistics: VGPUStatistics(statistics), usage: ProcessUsage(of: info.process))
        }
        self.init(watched, time: SystemClock.nanoseconds, result)
    }

    /// Asks several device processes at the same time: one that hangs makes none of the others wait.
    static func all(asking watched: [Watched], within limit: Duration) -> [Observation] {
        let questions = watched.map { Question($0, within: limit) }
        return questions.map { $0.answer() }
    }

    var answer: Answer? { try? result.get() }

    /// A question on its way, on a thread of its own; without one when none can be had.
    private final class Question: Sendable {
        private let observation = Locked<Observation?>(nil)
        private let thread = Locked<Linux.Thread?>(nil)
        private let ask: @Sendable () -> Observation

        init(_ watched: Watched, within limit: Duration) {
            ask = { Observation(asking: watched, within: limit) }
            let started = try? Linux.Thread(name: "question") { [self] in
                let answer = ask()
                observation.withLock { $0 = answer }
            }
            thread.withLock { $0 = started }
        }

        /// To be called once.
        func answer() -> Observation {
            thread.withLock { $0.take() }?.join()
            return observation.withLock { $0.take() } ?? ask()
        }
    }
}

extension [Observation] {
    /// Says on standard error which of them got no answer, and why.
    ///
    /// - Throws: `Failure` when there was none at all.
    func tellFailures() throws(mediated.Failure) {
        var first: Observation.Failure?
        for observation in self {
            guard case .failure(let error) = observation.result else { continue }
            StandardError.print("mediated: \(observation.watched.name): \(error)".excerpt)
            first = first ?? error
        }
        if let first, allSatisfy({ $0.answer == nil }) {
            throw mediated.Failure(first.status, "No device process has answered.")
        }
    }
}

extension Observation.Failure {
    fileprivate var status: ExitStatus {
        switch self {
        case .process(let error): mediated.Failure(error).status
        case .daemon(let error): mediated.Failure(error).status
        }
    }
}
