/// Something that happened.
public struct JournalEvent: Codable, Equatable, Sendable {
    /// Counts from 1.
    public var number: Int
    /// In seconds since 1970-01-01 00:00 UTC.
    public var time: Double
    /// The vGPU's UUID; absent for what concerns the daemon.
    public var vgpu: String?
    public var kind: String
    /// A sentence.
    public var message: String

    public init(number: Int, time: Double, vgpu: String?, kind: String, message: String) {
        self.number = number
        self.time = time
        self.vgpu = vgpu
        self.kind = kind
        self.message = message
    }
}

/// The answer of `GET /v1/events`.
public struct JournalPage: Codable, Equatable, Sendable {
    /// Oldest first.
    public var events: [JournalEvent]
    /// The newest event there is: what to ask for next is what comes after it.
    public var last: Int

    public init(events: [JournalEvent], last: Int) {
        self.events = events
        self.last = last
    }
}

/// The answer of `GET /v1/vgpus/UUID/log`.
public struct LogLines: Codable, Equatable, Sendable {
    /// The last ones, oldest first.
    public var lines: [String]
    /// How many bytes of the log they end at: what to ask for next is what comes after.
    public var end: Int

    public init(lines: [String], end: Int) {
        self.lines = lines
        self.end = end
    }
}
