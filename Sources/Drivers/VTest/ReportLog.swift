import Linux

/// Passes sentences on, so many at once and so many in all: programs are the reason of most, as often as they like, and
/// the log is a file.
public final class ReportLog {
    private let write: (String) -> Void
    private let clock: () -> UInt64
    private var allowance: Allowance
    private var left = mostLines

    /// How many lines may come at once, besides one for each second; and the most there are.
    public static let lineLimit = 64
    public static let mostLines = 4096

    /// - Parameters:
    ///   - clock: the time in nanoseconds, from any moment on.
    ///   - write: takes each sentence.
    public init(clock: @escaping () -> UInt64 = { SystemClock.nanoseconds }, _ write: @escaping (String) -> Void) {
        self.clock = clock
        self.write = write
        allowance = Allowance(Self.lineLimit, at: clock())
    }

    public func write(_ sentence: String) {
        guard left > 0 else { return }
        guard allowance.take(at: clock()) else {
            if allowance.refused == 1 { pass("What comes more often than once a second is left out.") }
            return
        }
        pass(sentence)
    }

    private func pass(_ sentence: String) {
        left -= 1
        write(left > 0 ? sentence : "What else there is to be told is left out.")
    }
}
