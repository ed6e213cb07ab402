import Glibc

/// A moment as users write it: so long ago, a time of day, or a time with its date.
enum Moment {
    /// Why a text is none.
    struct Problem: Error, CustomStringConvertible {
        let description: String
    }

    /// - Parameters:
    ///   - text: such as `10s`, `1.5m`, `19:32:52`, `19:32` or `2026-01-31T19:32:52.5Z`. UTC
    ///   - now: nanoseconds since 1970.
    /// - Returns: nanoseconds since 1970. A time of day that is still to come is yesterday's.
    static func nanoseconds(_ text: String, now: UInt64) throws(Problem) -> UInt64 {
        if let ago = duration(text) { return now > ago ? now - ago : 0 }
        if let time = timeOfDay(text[...]) {
            let midnight = now / day * day
            let today = midnight + time
            return today <= now ? today : today >= day ? today - day : 0
        }
        if let moment = date(text) { return moment }
        throw Problem(
            description:
                "'\(text)' is no time; it can be so long ago, as in 10s, 500ms, 5m or 2h, a time of day (UTC), "
                + "as in 19:32:52, or one with its date, as in 2026-01-31T19:32:52Z.")
    }

    private static let second: UInt64 = 1_000_000_000
    private static let day = 86_400 * second

    private static func duration(_ text: String) -> UInt64? {
        let units: [(name: String, length: Double)] = [("ms", 1e6), ("s", 1e9), ("m", 60e9), ("h", 3600e9)]
        guard let unit = units.first(where: { text.hasSuffix($0.name) }),
            let number = Double(text.dropLast(unit.name.count)), number >= 0, number * unit.length < 1e18
        else { return nil }
        return UInt64(number * unit.length)
    }

    /// Hours and minutes, perhaps seconds with a fraction.
    private static func timeOfDay(_ text: Substring) -> UInt64? {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        guard (2...3).contains(parts.count), parts.allSatisfy({ $0.first?.isNumber == true }),
            let hours = UInt64(parts[0]), hours < 24, let minutes = UInt64(parts[1]), minutes < 60,
            let seconds = Double(parts.count == 3 ? parts[2] : "0"), seconds < 60
        else { return nil }
        return (hours * 3600 + minutes * 60) * second + UInt64((seconds * 1e9).rounded())
    }

    private static func date(_ text: String) -> UInt64? {
        let halves = text.split(separator: "T", omittingEmptySubsequences: false)
        guard halves.count == 2, halves[1].hasSuffix("Z"), let time = timeOfDay(halves[1].dropLast()) else {
            return nil
        }
        let numbers = halves[0].split(separator: "-", omittingEmptySubsequences: false).map { Int32($0) }
        guard numbers.count == 3, let year = numbers[0], let month = numbers[1], let date = numbers[2],
            (1970...2500).contains(year), (1...12).contains(month), (1...31).contains(date)
        else { return nil }
        var parts = tm()
        (parts.tm_year, parts.tm_mon, parts.tm_mday) = (year - 1900, month - 1, date)
        let midnight = timegm(&parts)
        // The 31st of a month that has 30 days is another.
        guard midnight >= 0, parts.tm_mday == date else { return nil }
        return UInt64(midnight) * second + time
    }
}
