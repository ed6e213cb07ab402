import Glibc
import Linux
import Logging

/// Log lines on standard error, with the priority at their beginning where systemd's journal reads it. `sd-daemon(3)`
struct StandardErrorLog: LogHandler {
    var metadata: Logger.Metadata = [:]
    var logLevel = Logger.Level.info

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        let text = "\(event.message)".split(separator: "\n").joined(separator: " ")
        let prefix = Self.isJournal ? "<\(Self.priority(of: event.level))>" : ""
        StandardError.print("\(prefix)mediated-daemon: \(text)")
    }

    /// Whether systemd's journal reads the lines. `systemd.exec(5)`
    private static let isJournal = getenv("JOURNAL_STREAM") != nil

    /// `syslog(3)`
    private static func priority(of level: Logger.Level) -> Int {
        switch level {
        case .trace, .debug: 7
        case .info: 6
        case .notice: 5
        case .warning: 4
        case .error: 3
        case .critical: 2
        }
    }
}
