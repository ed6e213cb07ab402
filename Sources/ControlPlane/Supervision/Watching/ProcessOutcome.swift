import Glibc

/// How a process ended, as far as that can be known: only of a child.
enum ProcessOutcome: Equatable, Sendable, CustomStringConvertible {
    case status(Int32)
    case signal(Int32)
    case unknown

    /// Takes the status of a process that has ended, without which a child stays a zombie. `waitpid(2)`
    init(takenOf process: Int32) {
        var status: Int32 = 0
        guard waitpid(process, &status, WNOHANG) == process else {
            self = .unknown
            return
        }
        let signal = status & 0x7f
        self = signal == 0 ? .status(status >> 8 & 0xff) : .signal(signal)
    }

    var description: String {
        switch self {
        case .status(let status): "with status \(status)"
        case .signal(let signal): "by signal \(signal)"
        case .unknown: "in a way that its parent alone knows"
        }
    }
}
