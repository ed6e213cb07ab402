import Trace

/// Reads the terms that say which of the passages that fit are altered.
struct OccurrenceTerms {
    static let keys = ["nth", "every", "chance", "seed", "times"]

    private var values: [Substring: UInt64] = [:]

    /// - Returns: false when it is none of these.
    mutating func take(_ word: Words.Word) throws(EventFilter.Problem) -> Bool {
        guard let (key, value) = word.term, Self.keys.contains(String(key)) else { return false }
        guard values[key] == nil else {
            throw .init(position: word.position, description: "'\(key)' stands here twice: remove one.")
        }
        values[key] = key == "chance" ? try Self.chance(value) : try Self.number(value, from: key == "seed" ? 0 : 1)
        return true
    }

    var result: Occurrence {
        var result = Occurrence()
        result.first = values["nth"] ?? values["every"] ?? 1
        result.every = values["every"] ?? 1
        result.chance = values["chance"] ?? Occurrence.always
        result.seed = values["seed"] ?? 0
        result.times = values["times"] ?? (values["nth"] != nil && values["every"] == nil ? 1 : nil)
        return result
    }

    private static func number(_ word: Words.Word, from least: UInt64) throws(EventFilter.Problem) -> UInt64 {
        let number = try EventFilter.number(word.text, at: word.position)
        guard number >= least else {
            throw .init(
                position: word.position, description: "'\(word.text)' is too little: it is counted from \(least).")
        }
        return number
    }

    private static func chance(_ word: Words.Word) throws(EventFilter.Problem) -> UInt64 {
        guard let chance = Double(String(word.text)), chance >= 0.000_001, chance <= 1 else {
            throw .init(
                position: word.position,
                description: "'\(word.text)' is no probability; it can be from 0.000001 to 1, such as 0.25.")
        }
        return UInt64(chance * Double(Occurrence.always))
    }
}
