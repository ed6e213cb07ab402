import Yams

extension Node {
    /// Far beyond what somebody writes by hand.
    static let mostBytes = 64 << 10

    /// Yams goes down a level of the text by recursion, so that this bounds its stack: a level takes more than a
    /// kilobyte.
    private static let mostLevels = 1000

    /// Reads a text with one document.
    ///
    /// - Parameter text: UTF-8, at most ``mostBytes``.
    /// - Returns: nil when there is nothing but comments.
    static func root(of text: [UInt8]) throws(Fault) -> Node? {
        guard text.count <= mostBytes else {
            throw Fault(nil, "It is longer than \(mostBytes >> 10) KiB, which is all that is read: make it shorter.")
        }
        guard levels(in: text) <= mostLevels else {
            throw Fault(nil, "It has too many brackets, or is indented too far: make it shorter.")
        }
        let text = try string(text)
        let documents: (first: Node?, second: Node?)
        do {
            // No word has a type before it is known what it stands for, so nothing is resolved: `on` stays `on`.
            let parser = try Parser(yaml: text, resolver: .basic, encoding: .utf8)
            documents = (try parser.nextRoot(), try parser.nextRoot())
        } catch {
            throw Fault(error, in: text)
        }
        if let second = documents.second {
            throw Fault(second.place, "A second document begins here, but there may be only one: remove the '---'.")
        }
        return documents.first
    }

    /// How deep a text is nested at most. A level of brackets takes one, and with `[a: b]` holds another; one of
    /// indentation takes a column, and a list may stand in the column of its key. YAML 1.2, sections 7.4 and 8.2
    private static func levels(in text: [UInt8]) -> Int {
        let brackets = text.count { "[{".utf8.contains($0) }
        let indentation = text.split { !" \t-?:".utf8.contains($0) }.map(\.count).max() ?? 0
        return 2 * (brackets + indentation + 1)
    }

    private static func string(_ text: [UInt8]) throws(Fault) -> String {
        do throws(UTF8.ValidationError) {
            _ = try UTF8Span(validating: text.span)
        } catch {
            let before = String(decoding: text[..<error.byteOffsets.lowerBound], as: UTF8.self)
            throw Fault(Place(behind: before.unicodeScalars[...]), "This is no text in UTF-8: \(error.kind).")
        }
        return String(decoding: text, as: UTF8.self)
    }
}

extension Fault {
    /// What Yams has to say of a text.
    fileprivate init(_ error: any Error, in text: String) {
        switch error as? YamlError {
        case .reader(let problem, _, let value, _)?:
            let before = text.unicodeScalars.prefix { $0.value != UInt32(bitPattern: value) }
            self.init(Place(behind: before), "This is no text: \(problem).")
        case .scanner(let context, let problem, let mark, _)?, .parser(let context, let problem, let mark, _)?:
            let context = context.map { " \($0.text)" } ?? ""
            self.init(
                Place(mark),
                "This is not YAML: \(problem)\(context). A list's elements begin with '- ', and a key ends with ': '.")
        case .composer(_, let problem, let mark, _)?:
            self.init(Place(mark), "This stands for nothing: \(problem). Write it out, or put its anchor before it.")
        default:
            self.init(nil, "It can't be read: \(error).")
        }
    }
}

extension Place {
    fileprivate init(behind text: Substring.UnicodeScalarView) {
        let line = text.reversed().prefix { $0 != "\n" }
        self.init(line: text.count { $0 == "\n" } + 1, column: line.count + 1)
    }
}
