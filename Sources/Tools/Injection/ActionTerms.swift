import Alteration
import Linux
import Trace

/// Reads what a rule does.
enum ActionTerms {
    static let help =
        "it can be value=N, and=N, or=N, xor=N, ones, corrupt, errno=NAME, drop, repeat=N, delay=TIME, hold, "
        + "raise=VECTOR or disconnect"

    static func action(_ word: Words.Word) throws(EventFilter.Problem) -> Action {
        guard let (key, value) = word.term else { return try plain(word) }
        switch key {
        case "value": return .change(.bits(and: 0, or: try number(value)))
        case "and": return .change(.bits(and: try number(value)))
        case "or": return .change(.bits(or: try number(value)))
        case "xor": return .change(.bits(xor: try number(value)))
        case "errno": return .refuse(try errno(value))
        case "repeat": return .again(Int(try number(value, in: 1...64)))
        case "delay": return .delay(try time(value))
        case "raise": return .raise(Int(try number(value, in: 0...2047)))
        default: throw unknown(word)
        }
    }

    private static func plain(_ word: Words.Word) throws(EventFilter.Problem) -> Action {
        switch word.text {
        case "ones": .change(.ones)
        case "corrupt": .corrupt
        case "drop": .drop
        case "hold": .hold
        case "disconnect": .disconnect
        default: throw unknown(word)
        }
    }

    private static func unknown(_ word: Words.Word) -> EventFilter.Problem {
        .init(position: word.position, description: "'\(word.text)' is nothing that can be done; \(help).")
    }

    private static func number(
        _ word: Words.Word, in range: ClosedRange<UInt64> = 0...UInt64.max
    ) throws(EventFilter.Problem) -> UInt64 {
        let number = try EventFilter.number(word.text, at: word.position)
        guard range.contains(number) else {
            throw .init(
                position: word.position,
                description: "'\(word.text)' must be from \(range.lowerBound) to \(range.upperBound).")
        }
        return number
    }

    /// The errors that accesses have.
    private static let errnos: [(name: String, errno: Errno)] = [
        ("EIO", .ioError), ("EINVAL", .invalidArgument), ("EFAULT", .badAddress), ("EACCES", .permissionDenied),
        ("EBUSY", .resourceBusy), ("ENODEV", .operationNotSupportedByDevice), ("ENOMEM", .noMemory),
        ("ENXIO", .noSuchAddressOrDevice), ("EPERM", .notPermitted), ("ETIMEDOUT", .timedOut),
    ]

    private static func errno(_ word: Words.Word) throws(EventFilter.Problem) -> Errno {
        guard let found = errnos.first(where: { $0.name == word.text }) else {
            let names = errnos.map(\.name).joined(separator: ", ")
            throw .init(position: word.position, description: "'\(word.text)' is no error here; it can be \(names).")
        }
        return found.errno
    }

    /// The longest delay, in nanoseconds.
    private static let longest: UInt64 = 60_000_000_000

    /// A number with its unit, in nanoseconds.
    private static func time(_ word: Words.Word) throws(EventFilter.Problem) -> UInt64 {
        let units: [(name: String, nanoseconds: UInt64)] = [
            ("us", 1000), ("ms", 1_000_000), ("s", 1_000_000_000),
        ]
        guard let unit = units.first(where: { word.text.hasSuffix($0.name) }),
            let number = UInt64(word.text.dropLast(unit.name.count)), number > 0,
            number <= longest / unit.nanoseconds
        else {
            throw .init(
                position: word.position,
                description: "'\(word.text)' is no time; it can be up to 60 s, as in 500us, 20ms or 2s.")
        }
        return number * unit.nanoseconds
    }
}
