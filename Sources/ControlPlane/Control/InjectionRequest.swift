import Injection
import JSON

/// What can be asked of the rules that alter what passes a device's doors.
public enum InjectionRequest: Equatable, Sendable {
    /// Which there are, what they have done, and what waits.
    case list
    /// One more.
    ///
    /// - Parameters:
    ///   - rule: as a `Rule` is written.
    ///   - limit: how long an access may wait, in milliseconds; ``standardLimit`` unless given.
    case add(rule: String, limit: Int?)
    /// One less, or none; what waits for it goes on.
    case clear(Int?)
    /// What waits goes on: what has a number, or all.
    case letGo(Int?)

    /// A client's own is 5 s: QEMU's, for one.
    public static let standardLimit = 4000
    /// In milliseconds.
    public static let limits = 1...60_000

    init(_ members: JSON.Object) throws(ControlError) {
        switch (members["rule"], members["clear"], members["continue"]) {
        case (nil, nil, nil): self = .list
        case (let rule?, nil, nil):
            guard let rule = rule.string else { throw ControlError(.malformed, "'rule' must be a text.") }
            self = .add(rule: rule, limit: try Self.limit(members["holdLimit"]))
        case (nil, let clear?, nil): self = .clear(try Self.number(clear, "clear"))
        case (nil, nil, let letGo?): self = .letGo(try Self.number(letGo, "continue"))
        default: throw ControlError(.malformed, "'inject' takes one of 'rule', 'clear' and 'continue'.")
        }
    }

    private static func limit(_ value: JSON?) throws(ControlError) -> Int? {
        guard let value else { return nil }
        guard let limit = value.int, limits.contains(limit) else {
            throw ControlError(
                .malformed, "'holdLimit' must be from \(limits.lowerBound) to \(limits.upperBound), in milliseconds.")
        }
        return limit
    }

    /// - Returns: nil for all.
    private static func number(_ value: JSON, _ name: String) throws(ControlError) -> Int? {
        if value.bool == true { return nil }
        guard let number = value.int, number >= 1 else {
            throw ControlError(.malformed, "'\(name)' must be a number from 1, or true for all.")
        }
        return number
    }

    var members: [(String, JSON)] {
        switch self {
        case .list: []
        case .add(let rule, nil): [("rule", .string(rule))]
        case .add(let rule, let limit?): [("rule", .string(rule)), ("holdLimit", JSON(limit))]
        case .clear(let id): [("clear", id.map { JSON($0) } ?? true)]
        case .letGo(let id): [("continue", id.map { JSON($0) } ?? true)]
        }
    }
}
