import Linux
import Tap
import Trace

/// The files that a ``TraceCommand`` writes: events for Perfetto as they come, and a picture of them at the end.
final class TraceFiles {
    private let command: TraceCommand
    private let title: String
    private var perfetto: PerfettoTrace
    private var timeline: Timeline
    private var file: FileReplacement?
    private var waiting: [UInt8] = []

    /// How many bytes are written at once.
    private static let batch = 64 << 10

    /// - Parameter type: the device's, which the files have for their title.
    init?(_ command: TraceCommand, _ names: RegisterNames, ofType type: String) throws(Failure) {
        guard command.perfetto != nil || command.plot != nil else { return nil }
        self.command = command
        title = "\(type) at \(command.target.socket)"
        // Events come with the time of day: those of two processes have clocks of their own.
        perfetto = PerfettoTrace(names, clock: 0)
        timeline = Timeline(names)
        guard let path = command.perfetto else { return }
        do throws(Errno) { file = try FileReplacement(path: path, mode: 0o600) } catch {
            throw Failure(error, cannot: "write the trace to", path, otherwise: .cannotCreate)
        }
        waiting = Array(PerfettoTrace.beginning(title).utf8)
    }

    /// - Parameter clock: what makes nanoseconds since 1970 of the event's time.
    func add(_ event: Event, clock: UInt64) throws(Failure) {
        var event = event
        event.time = event.time &+ clock
        timeline.add(event)
        guard file != nil else { return }
        waiting += perfetto.lines(event).utf8
        if waiting.count >= Self.batch { try write() }
    }

    /// So many events were missed before this one.
    func miss(_ count: UInt64, before event: Event?, clock: UInt64) {
        timeline.miss(count)
        if file != nil, let event { waiting += perfetto.missed(count, before: event.time &+ clock).utf8 }
    }

    private func write() throws(Failure) {
        do throws(Errno) { try file?.descriptor.writeAll(waiting.span.bytes) } catch { throw failure(error) }
        waiting.removeAll(keepingCapacity: true)
    }

    private func failure(_ error: Errno) -> Failure {
        Failure(error, cannot: "write the trace to", command.perfetto ?? "", otherwise: .cannotCreate)
    }

    /// Puts the files in their places.
    func finish() throws(Failure) {
        if file != nil {
            waiting += PerfettoTrace.end.utf8
            try write()
            do throws(Errno) { try file.take()?.commit() } catch { throw failure(error) }
        }
        guard let path = command.plot else { return }
        timeline.finish()
        try writeFile(Array(timeline.svg(title, clock: 0).utf8), to: path, as: "the picture")
    }
}
