import Glibc

/// A moment in universal time, as in `2026-01-01T00:00:00.250Z`. RFC 3339
struct UTCTime: CustomStringConvertible {
    /// The characters it takes.
    static let width = 24

    let description: String

    /// - Parameter seconds: since 1970-01-01 00:00. Nil for a moment before that, or after the year 9999.
    init?(_ seconds: Double) {
        guard seconds >= 0, seconds < 253_402_300_799 else { return nil }
        let milliseconds = Int((seconds * 1000).rounded())
        var time = time_t(milliseconds / 1000)
        var parts = tm()
        guard gmtime_r(&time, &parts) != nil else { return nil }
        func digits(_ value: some BinaryInteger, _ count: Int = 2) -> String {
            let text = "\(value)"
            return String(repeating: "0", count: max(0, count - text.count)) + text
        }
        let date = "\(digits(parts.tm_year + 1900, 4))-\(digits(parts.tm_mon + 1))-\(digits(parts.tm_mday))"
        let clock = "\(digits(parts.tm_hour)):\(digits(parts.tm_min)):\(digits(parts.tm_sec))"
        description = "\(date)T\(clock).\(digits(milliseconds % 1000, 3))Z"
    }
}
