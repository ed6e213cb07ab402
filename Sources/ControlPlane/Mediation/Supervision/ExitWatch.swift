import Glibc
import Linux

/// Tells when a process ends, which may be no child of this one: that of an earlier daemon. Signals go by here too.
final class ExitWatch: Sendable {
    /// How a process ended, as far as that can be known: only of a child.
    enum Outcome: Equatable, Sendable, CustomStringConvertible {
        case status(Int32)
        case signal(Int32)
        case unknown

        var description: String {
            switch self {
            case .status(let status): "with status \(status)"
            case .signal(let signal): "by signal \(signal)"
            case .unknown: "in a way that its parent alone knows"
            }
        }
    }

    private let isCancelled = Locked(false)
    private let process: ProcessHandle

    /// - Parameter handler: called once, on a thread of its own, when the process has ended.
    /// - Throws: `.noSuchProcess` when it is gone already. Any other error says that it can't be watched, and nothing of it.
    init(_ identity: ProcessIdentity, handler: @escaping @Sendable (Outcome) -> Void) throws(Errno) {
        process = try identity.handle()
        _ = try Thread(name: "exit", stackSize: 128 << 10) { [self] in
            _ = try? waitReadable([process.descriptor.raw], within: nil)
            let outcome = Self.outcome(of: identity.id)
            if !isCancelled.withLock({ $0 }) { handler(outcome) }
        }
    }

    /// Whether it has ended, and the handler was called or is about to be.
    var hasEnded: Bool {
        (try? waitReadable([process.descriptor.raw], within: .zero)) == [true]
    }

    /// Sends the process a signal.
    ///
    /// - Throws: `.noSuchProcess` when it has ended.
    func send(_ signal: Int32) throws(Errno) {
        try process.send(signal)
    }

    /// The handler isn't called any more.
    func cancel() {
        isCancelled.withLock { $0 = true }
    }

    /// Takes the status, without which a child stays a zombie. `waitpid(2)`
    static func outcome(of process: Int32) -> Outcome {
        var status: Int32 = 0
        guard waitpid(process, &status, WNOHANG) == process else { return .unknown }
        let signal = status & 0x7f
        return signal == 0 ? .status(status >> 8 & 0xff) : .signal(signal)
    }
}
