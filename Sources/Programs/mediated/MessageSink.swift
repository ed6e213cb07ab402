import ArgumentParser
import Glibc
import Linux
import Observer
import Recording
import Tap
import Trace

/// Prints and records messages, whatever thread they come by.
///
/// What is printed makes nobody wait: ``LineQueue``. Of what is recorded nothing is dropped: a slow disk makes clients
/// and the server wait, and one that is full ends the recording.
final class MessageSink: ObserverDelegate {
    private let state: Locked<State>
    private let output: LineQueue
    private let notices: LineQueue
    private let path: String?
    private let prints: Bool

    fileprivate struct State {
        /// nil: nothing is recorded, or nothing more.
        var writer: RecordingWriter?
        var messages: UInt64 = 0
        var recorded: UInt64 = 0
        var failure: Errno?
    }

    /// How long the last lines have to be written.
    private static let patience = Duration.seconds(2)

    /// - Throws: as `Thread`.
    init(writer: sending RecordingWriter?, path: String?, prints: Bool) throws(Errno) {
        state = Locked(State(writer: writer))
        output = try LineQueue(to: STDOUT_FILENO)
        notices = try LineQueue(to: STDERR_FILENO)
        self.path = path
        self.prints = prints
    }

    func observe(_ message: RawSpan, descriptors: [String], from sender: Sender, connection: Int) {
        let time = SystemClock.nanosecondsSinceEpoch
        let line =
            prints
            ? "\(EventText.timeOfDay(time))  \(MessageText.line(message, descriptors: descriptors, from: sender))" : nil
        let failure = state.withLock { state -> Errno? in
            if let line { output.add(line) }
            state.messages += 1
            guard state.writer != nil else { return nil }
            var record = Record(.wire)
            record.way = Way(rawValue: sender.rawValue)
            record.region = UInt8(truncatingIfNeeded: connection)
            record.number = state.messages - 1
            record.time = time
            record.count = UInt64(message.byteCount)
            record.name = descriptors.joined(separator: ",")
            state.write(record, message)
            return state.failure
        }
        // The messages go on: a full disk is nothing to the two.
        if let failure { tellEnd(failure) }
    }

    func observe(notice: String) {
        notices.add("mediated: \(notice)")
    }

    /// Writes what is left, and says how much it was.
    ///
    /// - Throws: `Failure` when not all is recorded; an exit status alone where nobody takes the words.
    func finish() throws {
        let (messages, recorded, earlier, failure) = state.withLock { state in
            let earlier = state.failure
            state.flush()
            return (state.messages, state.recorded, earlier, state.failure)
        }
        if earlier == nil, let failure { tellEnd(failure) }
        if let path { notices.add("mediated: \(recorded) of \(messages) messages are recorded in '\(path)'.") }
        let end = Deadline(after: Self.patience)
        _ = output.close(within: end.left)
        let isTold = notices.close(within: max(end.left ?? .zero, .milliseconds(100)))
        guard let path, let failure else { return }
        guard isTold else { throw ExitCode(ExitStatus.io.rawValue) }
        throw Failure(failure, cannot: "write the recording to", path, otherwise: .io)
    }

    private func tellEnd(_ failure: Errno) {
        notices.add("mediated: The recording has ended: \(failure). The connection goes on.")
    }
}

extension MessageSink.State {
    /// Writes a message, in as many parts as it takes.
    fileprivate mutating func write(_ record: Record, _ message: RawSpan) {
        var record = record
        var start = 0
        repeat {
            let count = min(Record.maximumBytes, message.byteCount - start)
            record.partOffset = UInt32(start)
            record.hasMoreParts = start + count < message.byteCount
            record.bytes = []
            record.bytes.append(message.extracting(start..<start + count))
            do throws(Errno) { try writer?.append(record) } catch { return stop(error) }
            start += count
        } while start < message.byteCount
        recorded += 1
    }

    private mutating func stop(_ error: Errno) {
        failure = error
        writer = nil
    }

    fileprivate mutating func flush() {
        do throws(Errno) { try writer?.synchronize() } catch { stop(error) }
    }
}
