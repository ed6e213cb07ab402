import Device
import JSON
import Linux
import Tap

/// A function's recording: the stream of what passes, and in between, piece by piece, what somebody else's device needs
/// to live the same again. Between the pieces the device's client is served.
///
/// A description comes first, then the state. After each gap there is a fresh state.
final class Recording {
    /// How many bytes one turn of the loop puts in at most.
    private static let turnSize = 1 << 20

    let stream: RecordStream
    private let loop: EventLoop
    private let work: EventFD
    private var watches: [EventLoop.Token] = []
    /// Another one may be in the place of the first meanwhile.
    private let function: () -> Function
    /// What found no room yet.
    private var held: Record?
    private var current: (any RecordSource)?
    private var isEnding = false
    private var hasReported = false
    /// Called when nothing more comes.
    private let onEnd: (_ isOrderly: Bool) -> Void

    /// - Parameters:
    ///   - delegate: of the function, which outlives this.
    ///   - onEnd: called in a turn of the loop when the last record is there, or none can be: the reader has broken the
    ///     rules, or there is no memory for the end.
    /// - Throws: `StateError` when what the device has now can be part of no state, and so of no recording that can be
    ///   replayed; `Errno` when there is no memory.
    init(of delegate: any ControlDelegate, isLossless: Bool, onEnd: @escaping (_ isOrderly: Bool) -> Void) throws {
        try delegate.function.device.requireSavable()
        stream = try RecordStream(isLossless: isLossless)
        work = try EventFD()
        function = { [unowned delegate] in delegate.function }
        loop = delegate.function.host.loop
        self.onEnd = onEnd
        var description = Record(.description)
        description.time = SystemClock.nanosecondsSinceEpoch
        description.bytes = Array(try JSON(encoding: RecordingDescription(of: delegate)).text.utf8)
        _ = stream.offer(description)
        let turns = try loop.watch(RecordStream.ownEvent, work.descriptor, for: .readable) { [unowned self] _ in turn()
        }
        watches = [turns]
        let room = stream.writerBell
        watches.append(
            try loop.watch(RecordStream.ownEvent, room.event.descriptor, for: .readable) { [unowned self] _ in
                room.wakeUp()
                turn()
            })
        stream.onAttention = { [work] in work.signal() }
    }

    /// Begins with a state. The stream is one of the function's taps by now.
    func begin() {
        do { try beginState() } catch { stream.isStateDue = true }
        work.signal()
    }

    deinit {
        for token in watches { loop.unwatch(token) }
    }

    /// Has it end in good order, soon.
    func end() {
        isEnding = true
        work.signal()
    }

    private func beginState() throws {
        current = try StateRecords(of: function) { [stream] in stream.next }
        stream.isStateDue = false
    }

    // MARK: Turns of the loop

    private func turn() {
        work.consume()
        var done = 0
        do {
            while done < Self.turnSize {
                guard !stream.isBroken else { return onEnd(false) }
                if held == nil {
                    guard let piece = try nextPiece() else { return stream.flush() }
                    held = piece.record
                    done += piece.cost
                }
                guard let record = held else { continue }
                guard stream.offer(record) else { return waitForRoom() }
                held = nil
                if record.kind == .end {
                    stream.flush()
                    return onEnd(true)
                }
            }
        } catch {
            // There is no memory for it, or the device has what no state can hold. What passes is recorded all the
            // same, and a state is tried again some time.
            if error is StateError { reportOnce(error) }
            current = nil
            stream.isStateDue = true
            if isEnding { onEnd(false) }
            return
        }
        work.signal()
    }

    private func reportOnce(_ error: any Error) {
        guard !hasReported else { return }
        hasReported = true
        function().host.report("The recording can't be replayed from here on: it needs a new state. \(error)")
    }

    private func nextPiece() throws -> RecordPiece? {
        if stream.isStateDue, !isEnding { try beginState() }
        if let piece = try current?.next() { return piece }
        current = nil
        guard isEnding else { return nil }
        current = try EndRecords(of: function(), from: stream.close())
        return try current?.next()
    }

    private func waitForRoom() {
        if !stream.writerBell.prepareToSleep(unless: { stream.takesOffers }) { work.signal() }
    }
}

extension RecordingDescription {
    fileprivate init(of delegate: any ControlDelegate) {
        let info = delegate.info
        var options: [String: String] = [:]
        for option in info.options {
            let words = option.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
            options[words[0]] = words.count > 1 ? words[1] : ""
        }
        self.init(
            type: info.type, options: options, version: Version.current,
            clock: SystemClock.nanosecondsSinceEpoch &- SystemClock.nanoseconds)
    }
}
