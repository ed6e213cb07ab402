import Glibc
import Linux
import Observer
import Recording
import Tap
import Trace

/// Prints and records messages, whatever thread they come by.
final class MessageSink: ObserverDelegate {
    private let state: Locked<State>
    private let path: String?
    private let prints: Bool

    fileprivate struct State {
        /// nil: nothing is recorded, or nothing more.
        var writer: RecordingWriter?
        var messages: UInt64 = 0
        var recorded: UInt64 = 0
        var failure: Errno?
    }

    init(writer: sending RecordingWriter?, path: String?, prints: Bool) {
        state = Locked(State(writer: writer))
        self.path = path
        self.prints = prints
    }

    func observe(_ message: RawSpan, descriptors: [String], from sender: Sender, connection: Int) {
        let time = SystemClock.nanosecondsSinceEpoch
        let line =
            prints
            ? "\(EventText.timeOfDay(time))  \(MessageText.line(message, descriptors: descriptors, from: sender))" : nil
        state.withLock { state in
            if let line {
                Output.print(line)
                fflush(nil)
            }
            state.messages += 1
            guard state.writer != nil else { return }
            var record = Record(.wire)
            record.way = Way(rawValue: sender.rawValue)
            record.region = UInt8(truncatingIfNeeded: connection)
            record.number = state.messages - 1
            record.time = time
            record.count = UInt64(message.byteCount)
            record.name = descriptors.joined(separator: ",")
            state.write(record, message)
        }
    }

    func observe(notice: String) {
        StandardError.print("mediated: \(notice)")
    }

    /// Writes what is left, and says how much it was.
    func finish() throws {
        let (messages, recorded, failure) = state.withLock { state in
            state.flush()
            return (state.messages, state.recorded, state.failure)
        }
        guard let path else { return }
        StandardError.print("mediated: \(recorded) of \(messages) messages are recorded in '\(path)'.")
        if let failure { throw Failure(failure, cannot: "write the recording to", path, otherwise: .io) }
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

    /// The messages go on: a full disk is nothing to the two.
    private mutating func stop(_ error: Errno) {
        failure = error
        writer = nil
        StandardError.print("mediated: The recording has ended: \(error). The connection goes on.")
    }

    fileprivate mutating func flush() {
        do throws(Errno) { try writer?.synchronize() } catch { stop(error) }
    }
}
