import CYAML

/// Reads YAML as a series of events, by libyaml. What could make a short text large, or run code in other programs, is refused:
/// anchors, aliases and tags. YAML 1.1, section 3.1
struct EventReader: ~Copyable {
    enum Event {
        case word(String)
        case listStart
        case listEnd
        case mappingStart
        case mappingEnd
        /// Of the document.
        case border
        /// There is nothing any more.
        case end

        var beginsNode: Bool {
            switch self {
            case .word, .listStart, .mappingStart: true
            case .listEnd, .mappingEnd, .border, .end: false
            }
        }
    }

    // SAFETY: both are allocated by `init` and freed by `deinit`. The parser refers to itself and to the text, so neither may move.
    private let parser: UnsafeMutablePointer<yaml_parser_t>
    private let text: UnsafeMutableBufferPointer<UInt8>

    init(_ bytes: [UInt8]) throws(Fault) {
        let parser = UnsafeMutablePointer<yaml_parser_t>.allocate(capacity: 1)
        guard yaml_parser_initialize(parser) == 1 else {
            parser.deallocate()
            throw Fault(nil, "There is no memory left to read it.")
        }
        text = UnsafeMutableBufferPointer.allocate(capacity: bytes.count)
        _ = text.initialize(from: bytes)
        yaml_parser_set_input_string(parser, text.baseAddress, text.count)
        self.parser = parser
    }

    deinit {
        yaml_parser_delete(parser)
        parser.deallocate()
        text.deallocate()
    }

    /// The next event, and where it begins. Behind the end there is the end again.
    mutating func next() throws(Fault) -> (Event, Place) {
        var event = yaml_event_t()
        guard yaml_parser_parse(parser, &event) == 1 else { throw syntaxFault() }
        // SAFETY: what the event refers to is its own until here, and is copied before.
        defer { yaml_event_delete(&event) }
        let place = Place(event.start_mark)
        switch event.type {
        case YAML_SCALAR_EVENT:
            let scalar = event.data.scalar
            try refuse(scalar.anchor, scalar.tag, place)
            return (
                .word(String(decoding: UnsafeBufferPointer(start: scalar.value, count: scalar.length), as: UTF8.self)),
                place
            )
        case YAML_SEQUENCE_START_EVENT:
            try refuse(event.data.sequence_start.anchor, event.data.sequence_start.tag, place)
            return (.listStart, place)
        case YAML_MAPPING_START_EVENT:
            try refuse(event.data.mapping_start.anchor, event.data.mapping_start.tag, place)
            return (.mappingStart, place)
        case YAML_ALIAS_EVENT:
            throw Fault(place, "Aliases such as '*\(Self.string(event.data.alias.anchor))' aren't read: write it out.")
        case YAML_SEQUENCE_END_EVENT: return (.listEnd, place)
        case YAML_MAPPING_END_EVENT: return (.mappingEnd, place)
        case YAML_STREAM_END_EVENT, YAML_NO_EVENT: return (.end, place)
        default: return (.border, place)
        }
    }

    private func refuse(
        _ anchor: UnsafePointer<yaml_char_t>?, _ tag: UnsafePointer<yaml_char_t>?, _ place: Place
    ) throws(Fault) {
        if let anchor {
            throw Fault(place, "Anchors such as '&\(Self.string(anchor))' aren't read: remove it.")
        }
        if let tag { throw Fault(place, "Tags such as '\(Self.string(tag))' aren't read: remove it.") }
    }

    private func syntaxFault() -> Fault {
        // SAFETY: the texts are literals of libyaml's.
        let problem = parser.pointee.problem.map { String(cString: $0) } ?? "out of memory"
        let context = parser.pointee.context.map { " \(String(cString: $0))" } ?? ""
        let reason =
            "This is not YAML: \(problem)\(context). A list's elements begin with '- ', and a key ends with ': '."
        guard parser.pointee.error != YAML_READER_ERROR else {
            let before = text.prefix(parser.pointee.problem_offset)
            let line = before.reduce(1) { $1 == UInt8(ascii: "\n") ? $0 + 1 : $0 }
            // All bytes of a character but the first begin with the bits 10.
            let column = before.reversed().prefix { $0 != UInt8(ascii: "\n") }.count { $0 & 0xc0 != 0x80 } + 1
            return Fault(Place(line: line, column: column), "This is no text in UTF-8: \(problem).")
        }
        return Fault(Place(parser.pointee.problem_mark), reason)
    }

    private static func string(_ bytes: UnsafePointer<yaml_char_t>?) -> String {
        // SAFETY: libyaml ends its strings with a zero.
        bytes.map { String(cString: $0) } ?? ""
    }
}

extension Place {
    /// libyaml counts from 0.
    fileprivate init(_ mark: yaml_mark_t) {
        self.init(line: Int(clamping: mark.line) &+ 1, column: Int(clamping: mark.column) &+ 1)
    }
}
