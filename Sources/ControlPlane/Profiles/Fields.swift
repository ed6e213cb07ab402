import Yams

/// A mapping of which the keys are known.
struct Fields {
    /// What it describes, such as `a type`.
    let subject: String
    let place: Place
    private let values: [String: Node]

    /// - Throws: ``Fault`` for what is no mapping, or has other keys.
    init(_ node: Node, describing subject: String, keys: [String]) throws(Fault) {
        guard case .mapping(let members) = try node.content() else {
            throw Fault(node.place, "This must be \(subject), as lines of 'KEY: VALUE'. The keys: \(keys.list).")
        }
        for (key, _) in members where !keys.contains(key.text) {
            throw Fault(key.place, "'\(key.text)' is no key of \(subject). The keys: \(keys.list).")
        }
        self.subject = subject
        place = node.place
        values = Dictionary(members.map { ($0.key.text, $0.value) }) { first, _ in first }
    }

    /// What stands behind a key; nil when it isn't there.
    func setting(_ key: String) throws(Fault) -> Setting? {
        guard let node = values[key] else { return nil }
        return try Setting(key, node)
    }

    func requiredSetting(_ key: String) throws(Fault) -> Setting {
        guard let setting = try setting(key) else {
            throw Fault(place, "'\(key)' is missing here: \(subject) needs it.")
        }
        return setting
    }

    /// The elements behind a key; none when it isn't there, or has nothing behind it.
    func elements(_ key: String) throws(Fault) -> [Node] {
        switch try values[key]?.content() {
        case .list(let elements)?: return elements
        case nil, .word("")?: return []
        case .word?, .mapping?:
            throw Fault(values[key]?.place, "'\(key)' must be a list, of which each element begins with '- '.")
        }
    }

    /// The settings behind a key, with any names; none when it isn't there, or has nothing behind it.
    func settings(_ key: String) throws(Fault) -> [(name: Word, Setting)] {
        switch try values[key]?.content() {
        case .mapping(let members)?:
            var settings: [(name: Word, Setting)] = []
            for member in members { settings.append((member.key, try Setting(member.key.text, member.value))) }
            return settings
        case nil, .word("")?: return []
        case .word?, .list?:
            throw Fault(values[key]?.place, "'\(key)' must be lines of 'NAME: VALUE'.")
        }
    }
}

/// A word with the key before it.
struct Setting {
    let key: String
    let text: String
    let place: Place

    fileprivate init(_ key: String, _ node: Node) throws(Fault) {
        guard case .word(let text) = try node.content() else {
            throw Fault(node.place, "'\(key)' must be one word or number.")
        }
        guard !text.unicodeScalars.contains(where: { $0.value < 0x20 || $0.value == 0x7f }) else {
            throw Fault(
                node.place, "'\(key)' holds the end of a line or another control character: write it in one line.")
        }
        self.key = key
        self.text = text
        place = node.place
    }

    /// What is wrong with it, such as `must be on or off`.
    func fault(_ reason: String) -> Fault {
        Fault(place, "'\(key)' is '\(text)' but \(reason).")
    }

    /// Has somebody else look at it.
    func checked<Value, Failure: Error & CustomStringConvertible>(
        _ body: () throws(Failure) -> Value
    ) throws(Fault) -> Value {
        do throws(Failure) { return try body() } catch { throw Fault(place, error.description) }
    }
}

extension [String] {
    var list: String { joined(separator: ", ") }
}
