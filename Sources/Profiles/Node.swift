/// A YAML document, or a part of it: words, lists and mappings of words, and where they stand. YAML 1.2, section 3.2.1
struct Node {
    indirect enum Content {
        /// No word has a type: `8G`, `on` and `1280x800` are all what is written there.
        case word(String)
        case list([Node])
        /// In the order of the text, each key once.
        case mapping([(key: Word, value: Node)])
    }

    let content: Content
    let place: Place
}

/// A word, and where it stands.
struct Word {
    let text: String
    let place: Place
}

extension Node {
    /// Far beyond what somebody writes by hand.
    static let mostBytes = 256 << 10
    static let mostNodes = 10_000
    static let mostLevels = 8

    /// Reads a text with one document.
    ///
    /// - Parameter text: at most ``mostBytes``.
    /// - Returns: nil when there is nothing but comments.
    init?(_ text: [UInt8]) throws(Fault) {
        guard text.count <= Self.mostBytes else {
            throw Fault(
                nil, "It is longer than \(Self.mostBytes >> 10) KiB, which is all that is read: make it shorter.")
        }
        var builder = Builder(events: try EventReader(text))
        guard let node = try builder.document() else { return nil }
        if case .word("") = node.content { return nil }
        self = node
    }

    /// Makes nodes from events.
    private struct Builder: ~Copyable {
        var events: EventReader
        private var count = 0

        init(events: consuming EventReader) {
            self.events = events
        }

        mutating func document() throws(Fault) -> Node? {
            var document: Node?
            while true {
                let (event, place) = try events.next()
                switch event {
                case .word, .listStart, .mappingStart:
                    guard document == nil else {
                        throw Fault(
                            place, "A second document begins here, but there may be only one: remove the '---'.")
                    }
                    document = try node(event, place, level: 1)
                case .listEnd, .mappingEnd, .border: break
                case .end: return document
                }
            }
        }

        private mutating func node(_ event: EventReader.Event, _ place: Place, level: Int) throws(Fault) -> Node {
            count += 1
            guard count <= Node.mostNodes else {
                throw Fault(place, "There is more here than \(Node.mostNodes) words and lists: make it shorter.")
            }
            guard level <= Node.mostLevels else {
                throw Fault(
                    place, "This lies deeper than \(Node.mostLevels) levels, and nothing that has a meaning does.")
            }
            switch event {
            case .word(let text): return Node(content: .word(text), place: place)
            case .mappingStart: return Node(content: .mapping(try mapping(level: level)), place: place)
            case .listStart: return Node(content: .list(try list(level: level)), place: place)
            case .listEnd, .mappingEnd, .border, .end: throw Fault(place, "Something is missing here.")
            }
        }

        private mutating func list(level: Int) throws(Fault) -> [Node] {
            var elements: [Node] = []
            while true {
                let (event, place) = try events.next()
                guard event.beginsNode else { return elements }
                elements.append(try node(event, place, level: level + 1))
            }
        }

        private mutating func mapping(level: Int) throws(Fault) -> [(key: Word, value: Node)] {
            var members: [(key: Word, value: Node)] = []
            var places: [String: Place] = [:]
            while true {
                let (event, place) = try events.next()
                guard event.beginsNode else { return members }
                guard case .word(let text) = event else {
                    throw Fault(place, "A key must be a word, not a list or a mapping.")
                }
                if let first = places.updateValue(place, forKey: text) {
                    throw Fault(place, "'\(text)' stands here twice, first in line \(first.line): remove one.")
                }
                let (next, nextPlace) = try events.next()
                members.append((Word(text: text, place: place), try node(next, nextPlace, level: level + 1)))
            }
        }
    }
}
