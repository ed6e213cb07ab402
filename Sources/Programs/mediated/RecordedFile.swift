import Control
import DeviceCatalog
import Glibc
import Linux
import Recording
import Tap

/// Takes a recording's records as they come, and writes them to a file.
struct RecordedFile {
    private let recording: LiveRecording
    private let writer: RecordingWriter
    private let path: String
    private let isOnTerminal = isatty(STDERR_FILENO) == 1
    /// Of the last record, in nanoseconds since 1970.
    private var time: UInt64 = 0
    private var passages = 0
    private var gaps = 0
    private var lost: UInt64 = 0
    private var hasEnded = false
    private var nextLook = Deadline(after: .zero)

    /// How often it is looked whether to end, and how long it is waited for a record.
    private static let pace = Duration.milliseconds(50)
    /// How long the device has to end the recording in good order.
    private static let patience = Duration.seconds(10)

    init(_ recording: LiveRecording, _ writer: RecordingWriter, path: String) {
        self.recording = recording
        self.writer = writer
        self.path = path
    }

    /// Copies records until there is enough, or the device process has gone.
    ///
    /// - Parameters:
    ///   - count: how many passages are enough; nil: none are.
    ///   - isOver: is asked now and then.
    mutating func copy(upTo count: Int?, until isOver: () -> Bool) throws {
        while true {
            if let record = try nextRecord() {
                try write(record)
            } else {
                try flush()
                if try recording.isCutOff() { return try drain() }
            }
            if let count, passages >= count { return }
            guard nextLook.hasPassed else { continue }
            nextLook = Deadline(after: Self.pace)
            showProgress()
            if isOver() { return }
        }
    }

    /// Has the device end the recording, and says what it came to.
    mutating func finish() throws {
        if !hasEnded, try !recording.isCutOff() {
            try recording.end()
            let end = Deadline(after: Self.patience)
            while !hasEnded, !end.hasPassed {
                if let record = try nextRecord() {
                    try write(record)
                } else if try recording.isCutOff() {
                    try drain()
                    break
                }
            }
        }
        do throws(Errno) { try writer.synchronize() } catch { throw failure(error) }
        if isOnTerminal { eraseProgress() }
        let losses =
            lost == 0
            ? "nothing was lost" : "\(lost) were lost in \(gaps) gaps, behind each of which the device's state follows"
        StandardError.print(
            "mediated: \(passages) passages are recorded in '\(path)', \(writer.byteCount) bytes; \(losses).")
        if !hasEnded { StandardError.print("mediated: The device process has gone before the recording was ended.") }
    }

    // MARK: Records

    private func nextRecord() throws -> [UInt8]? {
        do throws(RecordError) { return try recording.next(within: Self.pace) } catch {
            throw Failure(.protocol, "What the device process records can't be read. \(error.description)")
        }
    }

    /// What a process has recorded that is gone.
    private mutating func drain() throws {
        while let record = try nextRecord() { try write(record) }
    }

    private mutating func write(_ bytes: [UInt8]) throws {
        let record: Record
        do throws(RecordError) { record = try Record(decoding: bytes.span.bytes) } catch {
            throw Failure(.protocol, "What the device process records can't be read. \(error.description)")
        }
        do throws(Errno) {
            // What is known from before has no time of its own.
            if record.time > 0 { time = record.time }
            try writer.append(encoded: bytes.span.bytes, time: time)
            switch record.kind {
            case .description:
                let registers = DeviceCatalog.types.first { $0.name == recording.type }?.registers ?? []
                var names = Record.names(of: registers)
                (names.number, names.time) = (record.number, record.time)
                try writer.append(names)
            case .gap:
                gaps += 1
                lost = lost.addingReportingOverflow(record.count).partialValue
            case .end: hasEnded = true
            default: if record.kind.event != nil, record.partOffset == 0 { passages += 1 }
            }
        } catch {
            throw failure(error)
        }
    }

    private func flush() throws {
        do throws(Errno) { try writer.flush() } catch { throw failure(error) }
    }

    private func failure(_ error: Errno) -> Failure {
        Failure(
            .io,
            "The recording in '\(path)' has ended: \(error). Its \(writer.byteCount) bytes can be read. "
                + "The device goes on."
        )
    }

    // MARK: Progress

    private func showProgress() {
        if isOnTerminal { put("\r\(passages) passages, \(writer.byteCount >> 10) KiB\u{1b}[K") }
    }

    private func eraseProgress() { put("\r\u{1b}[K") }

    /// Numbers alone, and what moves the cursor.
    private func put(_ text: String) {
        var text = text
        text.withUTF8 { bytes in _ = Glibc.write(STDERR_FILENO, bytes.baseAddress, bytes.count) }
    }
}
