import Linux
import Tap
import Trace

/// What is to be altered, and how.
///
///     read bar=0 register=status nth=3 : value=0xffffffff
///
/// Before the colon stands what it is about: the terms of an `EventFilter`, among them at least one kind, and which of
/// those that fit:
///
/// - `nth=N`: the N-th alone; with `every`, from it on.
/// - `every=N`: each N-th.
/// - `chance=P`: with this probability, from 0.000001 to 1. `seed=N` chooses the random numbers.
/// - `times=N`: so many at most.
///
/// Behind it stands what becomes of it: `value=N`, `and=N`, `or=N`, `xor=N`, `ones`, `corrupt`, `errno=NAME`, `drop`,
/// `repeat=N`, `delay=TIME`, `hold`, `raise=VECTOR` or `disconnect`.
public struct Rule: Sendable {
    /// The longest that is read, in characters.
    public static let longest = 512

    /// As it was written.
    public let text: String
    let filter: EventFilter
    let occurrence: Occurrence
    let action: Action

    /// - Throws: for the first thing that can't be understood, its place with what could stand there.
    public init(_ text: String) throws(EventFilter.Problem) {
        guard text.utf8.count <= Self.longest else {
            throw .init(
                position: 0, description: "A rule has at most \(Self.longest) bytes, but this \(text.utf8.count).")
        }
        let words = Words(text)
        guard let colon = words.all.firstIndex(where: { $0.text == ":" }) else {
            throw .init(
                position: text.count,
                description: "A rule has a ':' between spaces: before it what is altered, behind it how, "
                    + "as in 'read bar=0 : value=0'.")
        }
        let (about, deeds) = (words.all[..<colon], words.all[(colon + 1)...])
        var occurrence = OccurrenceTerms()
        // The filter's own terms, each where it was.
        var rest = ""
        for word in about {
            rest += String(repeating: " ", count: word.position - rest.count)
            if try !occurrence.take(word) { rest += word.text }
        }
        let filter = try EventFilter(rest, besides: OccurrenceTerms.keys)
        guard let first = deeds.first else {
            throw .init(
                position: words.all[colon].position + 1, description: "Nothing is to be done: \(ActionTerms.help).")
        }
        if let second = deeds.dropFirst().first {
            throw .init(position: second.position, description: "A rule does one thing; make a second rule of this.")
        }
        let action = try ActionTerms.action(first)
        try Self.check(filter, action, first)
        self.text = text
        self.filter = filter
        self.occurrence = occurrence.result
        self.action = action
    }

    private static func check(
        _ filter: EventFilter, _ action: Action, _ word: Words.Word
    ) throws(EventFilter.Problem) {
        let possible = action.kinds.map(\.word).joined(separator: ", ")
        guard let kinds = filter.kinds, !kinds.isEmpty else {
            throw .init(
                position: 0,
                description: "A rule begins with what it alters. With '\(word.text)' this can be \(possible).")
        }
        for kind in kinds.sorted(by: { $0.rawValue < $1.rawValue }) where !action.kinds.contains(kind) {
            throw .init(
                position: word.position,
                description: "'\(word.text)' can't be done with '\(kind.word)'; it can with \(possible).")
        }
        if action.waits, kinds.contains(.read), filter.hasValue {
            throw .init(
                position: word.position,
                description: "A read waits before there is a value: leave 'value=' out, or don't let it wait.")
        }
    }
}
