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
    /// Called when the last record is there.
    private let onEnd: () -> Void

    /// - Parameters:
    ///   - delegate: of the function, which outlives this.
    ///   - onEnd: called in a turn of the loop when it has ended in good order.
    init(of delegate: any ControlDelegate, isLossless: Bool, onEnd: @escaping () -> Void) throws {
        stream = try RecordStream(isLossless: isLossless)
        work = try EventFD()
        function = { [unowned delegate] in delegate.function }
        loop = delegate.function.host.loop
        self.onEnd = onEnd
        var description = Record(.description)
        description.time = SystemClock.nanosecondsSinceEpoch
        description.bytes = Array(try JSON(encoding: RecordingDescription(of: delegate)).text.utf8)
        _ = stream.offer(description)
        let turns = try loop.watch("control: recording", work.descriptor, for: .readable) { [unowned self] _ in turn() }
        watches = [turns]
        let room = stream.writerBell
        watches.append(
            try loop.watch("control: recorder", room.event.descriptor, for: .readable) { [unowned self] _ in
                room.wakeUp()
                turn()
            })
        stream.onAttention = { [work] in work.signal() }
    }

    /// Begins with a state. The stream is one of the function's taps by now.
    func begin() {
        beginState()
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

    private func beginState() {
        stream.isStateDue = false
        current = StateRecords(of: function) { [stream] in stream.next }
    }

    // MARK: Turns of the loop

    private func turn() {
        work.consume()
        guard !stream.isBroken else { return }
        var done = 0
        do {
            while done < Self.turnSize {
                guard let record = try held ?? nextRecord() else { return stream.flush() }
                held = record
                guard stream.offer(record) else { return waitForRoom() }
                held = nil
                done += record.bytes.count + Record.headerSize
                if record.kind == .end {
                    stream.flush()
                    return onEnd()
                }
            }
        } catch {
            // There is no memory for it. What passes is recorded all the same.
            current = nil
            return
        }
        work.signal()
    }

    private func nextRecord() throws -> Record? {
        if stream.isStateDue, !isEnding { beginState() }
        if let record = try current?.next() { return record }
        current = nil
        guard isEnding else { return nil }
        current = EndRecords(of: function(), from: stream.next)
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
