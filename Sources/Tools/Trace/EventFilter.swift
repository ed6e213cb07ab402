import PCI
import Tap

/// Which events somebody wants to see: terms that all must hold.
///
///     read|write bar=0 offset=0x10..0x1f
///
/// - `read`, `write` and the other words of ``Event/Kind/word``: the kind; several with `|` between them.
/// - `bar=N`, `bar=rom`, or `bar=config` for configuration space: the region of an access or a doorbell.
/// - `offset=N` or `offset=N..N`: the offset, or the address in guest memory.
/// - `register=NAME`: the register, as a trace names it, with `_` for each space.
/// - `value=N` or `value=N..N`: what was read or written, the first eight bytes of it.
/// - `way=message`, `ring`, `ioregion`, `request` or `call`: how an access came.
/// - `queue=N`: a virtqueue's requests and completions.
/// - `command=NAME`: a client's message, or one of a virtqueue's, by the specification's name, such as `DMA_MAP` or
///   `RESOURCE_FLUSH`.
/// - `name=NAME`: the line, memory or event of the loop.
/// - `vector=N` or `vector=N..N`: the message.
/// - `address=N` or `address=N..N`: the address in guest memory.
///
/// Numbers are decimal, or hexadecimal behind `0x`. A term that events of these kinds never have is refused.
public struct EventFilter: Sendable {
    private var terms: [Term] = []

    private enum Term: Sendable {
        case kinds(Set<Event.Kind>)
        case region(Int)
        case offset(ClosedRange<UInt64>)
        case register(String)
        case value(ClosedRange<UInt64>)
        case way(Way)
        case queue(UInt64)
        case command(String)
        case name(String)
        case vector(ClosedRange<UInt64>)
        case address(ClosedRange<UInt64>)
    }

    /// Why a text is no filter.
    public struct Problem: Error, Equatable, CustomStringConvertible {
        /// Where in the text it is, in characters from 0.
        public let position: Int
        /// A sentence, with what could stand there.
        public let description: String

        public init(position: Int, description: String) {
            self.position = position
            self.description = description
        }
    }

    /// All events.
    public init() {}

    /// - Parameter others: the keys that can stand beside these terms in a text that this is a part of.
    /// - Throws: ``Problem``, for the first term that can't be understood.
    public init(_ text: String, besides others: [String] = []) throws(Problem) {
        var position = 0
        var places: [(word: Substring, position: Int)] = []
        for word in text.split(separator: " ", omittingEmptySubsequences: false) {
            if !word.isEmpty {
                terms.append(try Self.term(word, at: position, besides: others))
                places.append((word, position))
            }
            position += word.count + 1
        }
        var left = kinds ?? Set(Event.Kind.allCases)
        for place in places where !left.isEmpty {
            guard let key = Self.keys.first(where: { place.word.hasPrefix("\($0.word)=") }) else { continue }
            let fitting = left.filter(key.isHad)
            if fitting.isEmpty { throw Self.neverFits(place.word, place.position, left) }
            left = fitting
        }
    }

    /// What stands before a term's `=`, and which events have it.
    private static let keys: [(word: String, isHad: @Sendable (Event.Kind) -> Bool)] = [
        ("bar", { $0.hasRegion }), ("offset", { $0.hasOffset }), ("register", { $0.isAccess }),
        ("value", { $0.hasValue }), ("way", { $0.isAccess }), ("queue", { $0.hasQueue }),
        ("command", { $0.hasCommand }), ("name", { $0.hasName }), ("vector", { $0 == .message }),
        ("address", { $0.isMemoryAccess }),
    ]

    private static func neverFits(_ word: Substring, _ position: Int, _ kinds: Set<Event.Kind>) -> Problem {
        let words = Event.Kind.allCases.filter(kinds.contains).map(\.word).joined(separator: ", ")
        let possible = keys.filter { kinds.contains(where: $0.isHad) }.map(\.word)
        return Problem(
            position: position,
            description: "'\(word)' never fits \(words); "
                + (possible.isEmpty
                    ? "no other term does." : "what can stand there is \(possible.joined(separator: ", "))."))
    }

    /// - Parameter names: of the device's registers.
    public func matches(_ event: Event, _ names: RegisterNames) -> Bool {
        terms.allSatisfy { term in
            switch term {
            case .kinds(let kinds): kinds.contains(event.kind)
            case .region(let region): event.kind.hasRegion && event.region == region
            case .offset(let range): event.kind.hasOffset && range.contains(event.offset)
            case .register(let name): names[event].map(Self.oneWord) == name
            case .value(let range): event.kind.hasValue && range.contains(event.value)
            case .way(let way): event.way == way
            case .queue(let number): event.kind.hasQueue && event.offset == number
            case .command(let name): names.command(event) == name
            case .name(let name): event.name == name
            case .vector(let range): event.kind == .message && range.contains(event.offset)
            case .address(let range): event.kind.isMemoryAccess && range.contains(event.offset)
            }
        }
    }

    /// The kinds that it lets through; nil when no term is about these.
    public var kinds: Set<Event.Kind>? {
        terms.reduce(nil) { all, term in
            guard case .kinds(let kinds) = term else { return all }
            return all?.intersection(kinds) ?? kinds
        }
    }

    /// The first register that a term is about and the device doesn't have, as the term has it; nil when there is none.
    public func unknownRegister(of names: RegisterNames) -> String? {
        let known = Set(names.all.map(Self.oneWord))
        for case .register(let name) in terms where !known.contains(name) { return name }
        return nil
    }

    /// Whether a term is about the value.
    public var hasValue: Bool { terms.contains { if case .value = $0 { true } else { false } } }

    /// PCI's names have spaces, which end a term.
    private static func oneWord(_ name: String) -> String { String(name.map { $0 == " " ? "_" : $0 }) }

    // MARK: Reading

    private static func term(
        _ word: Substring, at position: Int, besides others: [String]
    ) throws(Problem) -> Term {
        guard let equals = word.firstIndex(of: "=") else { return .kinds(try kinds(word, at: position)) }
        let (key, value) = (word[..<equals], word[word.index(after: equals)...])
        let place = position + key.count + 1
        switch key {
        case "bar": return .region(try region(value, at: place))
        case "offset": return .offset(try range(value, at: place))
        case "register": return .register(oneWord(String(value)))
        case "value": return .value(try range(value, at: place))
        case "way":
            guard let way = Way.allCases.first(where: { $0.word == value }) else {
                let words = Way.allCases.map(\.word).joined(separator: ", ")
                throw Problem(position: place, description: "'\(value)' is no way; the ways are \(words).")
            }
            return .way(way)
        case "queue": return .queue(try number(value, at: place))
        case "command": return .command(try command(value, at: place))
        case "name": return .name(String(value))
        case "vector": return .vector(try range(value, at: place))
        case "address": return .address(try range(value, at: place))
        default:
            let all = (keys.map(\.word) + others).joined(separator: ", ")
            throw Problem(position: position, description: "'\(key)' is nothing to filter by; it can be \(all).")
        }
    }

    /// One that has no name is written by its number, as a trace shows it.
    private static func command(_ text: Substring, at position: Int) throws(Problem) -> String {
        let name = String(text)
        if RegisterNames.allCommands.contains(name) { return name }
        if let first = name.first, first.isNumber, (try? number(text, at: position)) != nil { return name }
        throw Problem(
            position: position,
            description: "'\(name)' is no command. The commands are "
                + "\(RegisterNames.allCommands.joined(separator: ", ")), and numbers that have no name.")
    }

    private static func kinds(_ word: Substring, at position: Int) throws(Problem) -> Set<Event.Kind> {
        var kinds: Set<Event.Kind> = []
        var place = position
        for part in word.split(separator: "|", omittingEmptySubsequences: false) {
            guard let kind = Event.Kind.allCases.first(where: { $0.word == part }) else {
                let words = Event.Kind.allCases.map(\.word).joined(separator: ", ")
                throw Problem(
                    position: place, description: "'\(part)' is no kind of event. The kinds are \(words).")
            }
            kinds.insert(kind)
            place += part.count + 1
        }
        return kinds
    }

    private static func region(_ text: Substring, at position: Int) throws(Problem) -> Int {
        switch text {
        case "config": return RegionIndex.configuration
        case "rom": return RegionIndex.rom
        default:
            guard let number = Int(text), (0..<6).contains(number) else {
                throw Problem(position: position, description: "'\(text)' is no BAR; it can be 0 to 5, rom or config.")
            }
            return number
        }
    }

    private static func range(_ text: Substring, at position: Int) throws(Problem) -> ClosedRange<UInt64> {
        guard let dots = text.firstRange(of: "..") else {
            let number = try number(text, at: position)
            return number...number
        }
        let first = try number(text[..<dots.lowerBound], at: position)
        let last = try number(text[dots.upperBound...], at: position + text[..<dots.upperBound].count)
        guard first <= last else {
            throw Problem(position: position, description: "'\(text)' ends before it begins.")
        }
        return first...last
    }

    /// - Throws: ``Problem`` for what is none.
    public static func number(_ text: Substring, at position: Int) throws(Problem) -> UInt64 {
        let number = text.hasPrefix("0x") ? UInt64(text.dropFirst(2), radix: 16) : UInt64(text)
        guard let number else {
            throw Problem(
                position: position, description: "'\(text)' is no number; it can be decimal, or hexadecimal as in 0x1f."
            )
        }
        return number
    }
}
