import Dispatch
import Glibc
import Linux

/// Tells when a process ends, which may be no child of this one: that of an earlier daemon.
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

    private let source: any DispatchSourceRead

    /// - Parameter handler: called once, on a queue of its own, when the process has ended.
    /// - Throws: `.noSuchProcess` when it is gone already.
    init(_ process: Int32, handler: @escaping @Sendable (Outcome) -> Void) throws(Errno) {
        let raw = try ChildProcess.watch(process).release()
        let source = DispatchSource.makeReadSource(fileDescriptor: raw, queue: DispatchQueue(label: "mediated.exit"))
        source.setEventHandler {
            source.cancel()
            handler(Self.outcome(of: process))
        }
        source.setCancelHandler { close(raw) }
        source.resume()
        self.source = source
    }

    /// The handler isn't called any more.
    func cancel() {
        source.cancel()
    }

    /// Takes the status, without which a child stays a zombie. `waitpid(2)`
    private static func outcome(of process: Int32) -> Outcome {
        var status: Int32 = 0
        guard waitpid(process, &status, WNOHANG) == process else { return .unknown }
        let signal = status & 0x7f
        return signal == 0 ? .status(status >> 8 & 0xff) : .signal(signal)
    }
}
