import Linux
import Yams

/// A file of rules that alter what passes a device's doors: a list, of which each element is a rule. The rule's colon
/// may be YAML's: what stands before it is a key then.
///
///     - read bar=0 register=scratch nth=3: value=0xffffffff
///     - "message vector=1 every=2 : drop"
public struct RuleFile: Equatable, Sendable {
    /// One rule, and where it stands.
    public struct Line: Equatable, Sendable {
        public let text: String
        private let path: String
        private let place: Place
        /// How many characters of the text stand before what has a place of its own, and that place.
        private let second: (start: Int, place: Place)?

        fileprivate init(_ node: Node, path: String) throws(Fault) {
            self.path = path
            place = node.place
            switch try node.content() {
            case .word(let text):
                self.text = text
                second = nil
            case .mapping(let members):
                guard let member = members.first, members.count == 1, case .word(let deed) = try member.value.content()
                else { throw Self.fault(node) }
                text = "\(member.key.text) : \(deed)"
                second = (member.key.text.count + 3, member.value.place)
            case .list: throw Self.fault(node)
            }
        }

        private static func fault(_ node: Node) -> Fault {
            Fault(node.place, "This must be one rule, as in '- read bar=0: value=0'.")
        }

        /// What is wrong at a position in the text, in characters from 0.
        public func error(at position: Int, _ reason: String) -> ProfileError {
            var place = place
            var distance = position
            if let second, position >= second.start {
                place = second.place
                distance = position - second.start
            }
            place.column += distance
            return ProfileError(path: path, place: place, reason: reason)
        }

        public static func == (a: Self, b: Self) -> Bool { a.text == b.text && a.place == b.place }
    }

    public let lines: [Line]

    /// Reads a file of at most 64 KiB.
    public init(readingFile path: String) throws(ProfileError) {
        let text: [UInt8]
        do throws(Errno) { text = try Descriptor(reading: path).readBytes(upTo: Node.mostBytes + 1) } catch {
            throw ProfileError(path: path, place: nil, reason: "It can't be read: \(error).")
        }
        try self.init(text, path: path)
    }

    /// - Parameters:
    ///   - text: YAML in UTF-8.
    ///   - path: where it comes from, for what is said of it.
    public init(_ text: [UInt8], path: String) throws(ProfileError) {
        do throws(Fault) {
            guard let root = try Node.root(of: text) else { throw Fault(nil, "There is no rule in it.") }
            guard case .list(let nodes) = try root.content() else {
                throw Fault(root.place, "This must be a list of rules, each as in '- read bar=0: value=0'.")
            }
            var lines: [Line] = []
            for node in nodes { lines.append(try Line(node, path: path)) }
            self.lines = lines
        } catch {
            throw ProfileError(path: path, place: error.place, reason: error.reason)
        }
    }
}
