extension EventText {
    /// Hours, minutes, seconds and their billionths. UTC
    ///
    /// - Parameter nanoseconds: since 1970.
    public static func timeOfDay(_ nanoseconds: UInt64) -> String {
        func digits(_ number: UInt64, _ count: Int) -> String {
            let text = String(number)
            return String(repeating: "0", count: max(0, count - text.count)) + text
        }
        let seconds = nanoseconds / 1_000_000_000
        return "\(digits(seconds / 3600 % 24, 2)):\(digits(seconds / 60 % 60, 2)):\(digits(seconds % 60, 2))."
            + digits(nanoseconds % 1_000_000_000, 9)
    }
}
