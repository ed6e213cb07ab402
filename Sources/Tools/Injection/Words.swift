/// The words of a text, with their places.
struct Words {
    struct Word {
        let text: Substring
        /// In characters from the text's beginning.
        let position: Int
    }

    private(set) var all: [Word] = []

    init(_ text: String) {
        var position = 0
        for word in text.split(separator: " ", omittingEmptySubsequences: false) {
            if !word.isEmpty { all.append(Word(text: word, position: position)) }
            position += word.count + 1
        }
    }
}

extension Words.Word {
    /// What stands before the first `=`, and behind it; nil without one.
    var term: (key: Substring, value: Words.Word)? {
        guard let equals = text.firstIndex(of: "=") else { return nil }
        let key = text[..<equals]
        return (key, Words.Word(text: text[text.index(after: equals)...], position: position + key.count + 1))
    }
}
