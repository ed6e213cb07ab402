import Linux
import Tap

/// A recording that goes on: a device process puts records in, and whoever has this takes them out. It has the
/// connection for itself, and ends with it.
public final class LiveRecording {
    /// The device's type.
    public let type: String
    /// The parts of BARs where accesses aren't seen.
    public let mapped: [MappedPart]
    private let client: ControlClient
    private let reader: RecordStreamReader

    init(_ client: ControlClient, _ reader: RecordStreamReader, type: String, mapped: [MappedPart]) {
        (self.client, self.reader, self.type, self.mapped) = (client, reader, type, mapped)
    }

    /// The bytes of the next record, which `Record(decoding:)` reads; they go into a file as they are.
    ///
    /// - Parameter limit: how long to wait for it at most.
    /// - Returns: nil when none came meanwhile.
    /// - Throws: `RecordError` when the device process broke the rules.
    public func next(within limit: Duration) throws(RecordError) -> [UInt8]? {
        if let record = try reader.next() { return record }
        return try reader.wait(within: limit) ? try reader.next() : nil
    }

    /// Asks the device process to end the recording in good order. Its last record is ``Record/Kind/end``: whoever asks
    /// goes on reading until then.
    public func end() throws(ControlClientError) {
        try client.endRecording()
    }

    /// Whether the device process has gone. What it has put in before can still be read.
    public func isCutOff() throws(ControlClientError) -> Bool {
        try client.isOver()
    }
}
