import Linux
import Text

/// Passes what a launcher and its workers write to their standard output and error on to this process's log: a few
/// short lines, so that a worker which somebody has taken over fills no disk, and no line of it does anything to a
/// terminal.
final class WorkerLog {
    /// How many lines may come at once, besides one for each second, and how many bytes are kept of each, as they came.
    static let lineLimit = 64
    static let lengthLimit = 512
    /// How much is taken at a time, in bytes: more than a pipe holds.
    private static let mostAtOnce = 1 << 17

    private let reader: Descriptor
    private let clock: () -> UInt64
    private let write: (String) -> Void
    private let program: String
    private let loop: EventLoop
    private var watch: EventLoop.Token?
    private var line: [UInt8] = []
    private var allowance: Allowance

    /// - Parameters:
    ///   - reader: that of a pipe, which does not block.
    ///   - program: the launcher's name.
    ///   - clock: the time in nanoseconds, from any moment on.
    ///   - write: takes each line.
    init(
        _ reader: consuming Descriptor, of program: String, loop: EventLoop,
        clock: @escaping () -> UInt64 = { SystemClock.nanoseconds },
        write: @escaping (String) -> Void = StandardError.print
    ) throws(Errno) {
        self.reader = reader
        self.program = program
        self.clock = clock
        allowance = Allowance(Self.lineLimit, at: clock())
        self.loop = loop
        self.write = write
        watch = try loop.watch("worker: log", self.reader, for: .readable) { [unowned self] events in
            drain()
            if events.contains(.hangUp) { close() }
        }
    }

    deinit { close() }

    private func close() {
        if let watch { loop.unwatch(watch) }
        watch = nil
    }

    /// Takes what was written.
    func drain() {
        var taken = 0
        while taken < Self.mostAtOnce, let bytes = try? reader.readOnce(upTo: 4096), !bytes.isEmpty {
            taken += bytes.count
            for byte in bytes { take(byte) }
        }
    }

    private func take(_ byte: UInt8) {
        guard byte != UInt8(ascii: "\n") else { return endLine() }
        if line.count < Self.lengthLimit { line.append(byte) }
    }

    private func endLine() {
        defer { line.removeAll(keepingCapacity: true) }
        if allowance.take(at: clock()) {
            write(String(decoding: line, as: UTF8.self).printable)
        } else if allowance.refused == 1 {
            write("\(program): Lines are left out from here on.")
        }
    }
}
