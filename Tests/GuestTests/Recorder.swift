import Control
import Foundation
import Linux
import Recording
import Synchronization
import Tap

/// Writes all that passes a device's doors into a file, beside the test, until it is told to end.
final class Recorder: Sendable {
    private let isEnding = Atomic<Bool>(false)
    private let hasBegun: EventFD
    private let failure = Mutex<String?>(nil)
    private let thread = Mutex<Linux.Thread?>(nil)

    /// Begins to record before anything else is done with the device.
    init(_ control: String, to path: String) throws {
        hasBegun = try EventFD()
        let started = try Linux.Thread(name: "recorder") { [self] in
            do { try record(control, path) } catch { failure.withLock { $0 = "\(error)" } }
            hasBegun.signal()
        }
        thread.withLock { $0 = started }
        _ = hasBegun.wait(within: .seconds(30))
    }

    /// Ends the recording in good order.
    func end() throws {
        isEnding.store(true, ordering: .releasing)
        thread.withLock { $0.take() }?.join()
        if let failure = failure.withLock({ $0 }) { throw GuestRecordingError(description: failure) }
    }

    private func record(_ control: String, _ path: String) throws {
        let recording = try ControlClient(connectingTo: control).record(isLossless: true)
        let writer = try RecordingWriter(path: path, replaces: true)
        hasBegun.signal()
        var hasAsked = false
        while true {
            if let bytes = try recording.next(within: .milliseconds(50)) {
                let record = try Record(decoding: bytes.span.bytes)
                try writer.append(record)
                if record.kind == .end { break }
            } else if try recording.isCutOff() {
                throw GuestRecordingError(description: "The device process has gone.")
            }
            if !hasAsked, isEnding.load(ordering: .acquiring) {
                hasAsked = true
                try recording.end()
            }
        }
        try writer.flush()
    }
}

struct GuestRecordingError: Error {
    let description: String
}
