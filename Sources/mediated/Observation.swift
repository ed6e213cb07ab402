import ArgumentParser
import Control
import Linux
import Metrics
import Synchronization

/// Which device processes a command watches.
struct WatchedProcesses: ParsableArguments {
    @Argument(help: "The vfio-user sockets of device processes on this host.")
    var sockets: [String]

    func validate() throws {
        var seen: Set<String> = []
        for socket in sockets where !seen.insert(socket).inserted {
            throw ValidationError("'\(socket)' is named twice.")
        }
    }
}

/// What there was to learn of a device process at one moment.
struct Observation: Sendable {
    /// The vfio-user socket that it was named by.
    let socket: String
    /// When, in nanoseconds on the monotonic clock.
    let time: UInt64
    let result: Result<Answer, ControlClientError>

    struct Answer: Sendable {
        let info: ControlInfo
        let statistics: VGPUStatistics
        let usage: ProcessUsage?
    }

    init(socket: String, time: UInt64, _ result: Result<Answer, ControlClientError>) {
        self.socket = socket
        self.time = time
        self.result = result
    }

    /// Asks a device process.
    ///
    /// - Parameter milliseconds: how long it may take.
    init(asking socket: String, milliseconds: Int) {
        result = Result { () throws(ControlClientError) in
            let client = try ControlClient(
                connectingTo: ControlClient.path(besides: socket), milliseconds: milliseconds,
                deadline: Deadline(milliseconds: Int32(clamping: milliseconds)))
            let info = try client.info()
            let statistics = VGPUStatistics(try client.statistics())
            return Answer(info: info, statistics: statistics, usage: ProcessUsage(of: info.process))
        }
        self.socket = socket
        time = SystemClock.nanoseconds
    }

    /// Asks several device processes at the same time: one that hangs makes none of the others wait.
    static func all(asking sockets: [String], milliseconds: Int) throws(Errno) -> [Observation] {
        let questions = try sockets.map { socket throws(Errno) in
            try Question(socket, milliseconds: milliseconds)
        }
        return questions.map { $0.answer() }
    }

    var answer: Answer? { try? result.get() }

    private final class Question: Sendable {
        private let observation = Mutex<Observation?>(nil)
        private let thread = Mutex<Linux.Thread?>(nil)
        private let ask: @Sendable () -> Observation

        init(_ socket: String, milliseconds: Int) throws(Errno) {
            ask = { Observation(asking: socket, milliseconds: milliseconds) }
            let started = try Linux.Thread(name: "question") { [self] in
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
    func tellFailures() throws(Failure) {
        var first: ControlClientError?
        for observation in self {
            guard case .failure(let error) = observation.result else { continue }
            StandardError.print("mediated: \(observation.socket): \(error)".printable)
            first = first ?? error
        }
        if let first, allSatisfy({ $0.answer == nil }) {
            throw Failure(Failure(first).status, "No device process has answered.")
        }
    }
}
