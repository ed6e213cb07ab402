import Yams

/// A key, and where it stands.
struct Word {
    let text: String
    let place: Place
}

extension Node {
    /// What a node is, one level deep: aliases could make a whole tree far larger than its text.
    enum Content {
        case word(String)
        case list([Node])
        /// In the order of the text, each key once.
        case mapping([(key: Word, value: Node)])
    }

    /// - Throws: ``Fault`` for a tag that says something else, and for keys that aren't words or stand twice.
    func content() throws(Fault) -> Content {
        let plainTag: Tag.Name = scalar != nil ? .str : sequence != nil ? .seq : .map
        guard tag.description == plainTag.rawValue else {
            throw Fault(place, "Tags such as '\(tag)' aren't read: remove it.")
        }
        if let scalar { return .word(scalar.string) }
        if let sequence { return .list(Array(sequence)) }
        var members: [(key: Word, value: Node)] = []
        var places: [String: Place] = [:]
        for (key, value) in mapping ?? [:] {
            guard case .word(let text) = try key.content() else {
                throw Fault(key.place, "A key must be a word, not a list or a mapping.")
            }
            if let first = places.updateValue(key.place, forKey: text) {
                throw Fault(key.place, "'\(text)' stands here twice, first in line \(first.line): remove one.")
            }
            members.append((Word(text: text, place: key.place), value))
        }
        return .mapping(members)
    }

    /// Where it begins; for an alias, where what it stands for does.
    var place: Place {
        // Every node of a text has a mark.
        mark.map(Place.init) ?? Place(line: 1, column: 1)
    }
}

extension Place {
    init(_ mark: Mark) {
        self.init(line: mark.line, column: mark.column)
    }
}
