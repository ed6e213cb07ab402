extension JSON {
    /// How many arrays and objects may lie in one another.
    public static let depthLimit = 32

    /// Parses one JSON text in UTF-8, from whomever: it takes time and memory in proportion to the text, whose
    /// size is the caller's to limit. A value may take a hundred times as much memory as its text.
    ///
    /// - Parameter valueLimit: how many values there may be at most: arrays, objects, and what is in them.
    /// - Throws: ``JSONError`` with the offending byte's offset, for whatever RFC 8259 doesn't allow,
    ///   and for what it allows but leaves open: a byte order mark, two members of one object with the same name
    ///   (as I-JSON, RFC 7493), `\u` escapes that are half a surrogate pair, strings that are not
    ///   ``Swift/String/isStreamSafe``, numbers that a double can't hold, nesting over ``depthLimit``.
    public init(parsing bytes: Span<UInt8>, valueLimit: Int = .max) throws(JSONError) {
        var parser = Parser(bytes, valueLimit: valueLimit)
        self = try parser.text()
    }

    public init(parsing bytes: RawSpan) throws(JSONError) {
        try self.init(parsing: Span(_bytes: bytes))
    }

    public init(parsing bytes: [UInt8], valueLimit: Int = .max) throws(JSONError) {
        try self.init(parsing: bytes.span, valueLimit: valueLimit)
    }

    public init(parsing text: String) throws(JSONError) {
        try self.init(parsing: Array(text.utf8))
    }
}

/// A recursive-descent parser; one method per rule of RFC 8259's grammar.
private struct Parser: ~Escapable {
    private let bytes: Span<UInt8>
    private var position = 0
    private var valuesLeft: Int

    @_lifetime(copy bytes)
    init(_ bytes: Span<UInt8>, valueLimit: Int) {
        self.bytes = bytes
        valuesLeft = valueLimit
    }

    @_lifetime(self: copy self)
    mutating func text() throws(JSONError) -> JSON {
        let value = try value(depth: 0)
        skipWhitespace()
        guard next == nil else { throw unexpected("the end") }
        return value
    }

    @_lifetime(self: copy self)
    private mutating func value(depth: Int) throws(JSONError) -> JSON {
        skipWhitespace()
        guard let first = next else { throw unexpected("a value") }
        guard valuesLeft > 0 else { throw JSONError("too many values", at: .byte(position)) }
        valuesLeft -= 1
        switch first {
        case UInt8(ascii: "{"): return .object(try object(depth: depth + 1))
        case UInt8(ascii: "["): return .array(try array(depth: depth + 1))
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "t"): return try word("true", .bool(true))
        case UInt8(ascii: "f"): return try word("false", .bool(false))
        case UInt8(ascii: "n"): return try word("null", .null)
        case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return try number()
        default: throw unexpected("a value")
        }
    }

    @_lifetime(self: copy self)
    private mutating func object(depth: Int) throws(JSONError) -> JSON.Object {
        try begin(depth)
        var object = JSON.Object()
        if takeAfterWhitespace("}") { return object }
        while true {
            skipWhitespace()
            let start = position
            guard next == UInt8(ascii: "\"") else { throw unexpected("a member's name in quotes") }
            let name = try string()
            guard object[name] == nil else {
                throw JSONError("two members have the same name", at: .byte(start))
            }
            guard takeAfterWhitespace(":") else { throw unexpected("':'") }
            object[name] = try value(depth: depth)
            if takeAfterWhitespace("}") { return object }
            guard take(",") else { throw unexpected("',' or '}'") }
        }
    }

    @_lifetime(self: copy self)
    private mutating func array(depth: Int) throws(JSONError) -> [JSON] {
        try begin(depth)
        var elements: [JSON] = []
        if takeAfterWhitespace("]") { return elements }
        while true {
            elements.append(try value(depth: depth))
            if takeAfterWhitespace("]") { return elements }
            guard take(",") else { throw unexpected("',' or ']'") }
        }
    }

    @_lifetime(self: copy self)
    private mutating func begin(_ depth: Int) throws(JSONError) {
        guard depth <= JSON.depthLimit else {
            throw JSONError("more than \(JSON.depthLimit) arrays and objects in one another", at: .byte(position))
        }
        position += 1
    }

    @_lifetime(self: copy self)
    private mutating func word(_ word: StaticString, _ value: JSON) throws(JSONError) -> JSON {
        let start = position
        for expected in UnsafeBufferPointer(start: word.utf8Start, count: word.utf8CodeUnitCount) {
            guard next == expected else { throw JSONError("expected '\(word)'", at: .byte(start)) }
            position += 1
        }
        return value
    }

    // MARK: Numbers

    @_lifetime(self: copy self)
    private mutating func number() throws(JSONError) -> JSON {
        let start = position
        _ = take("-")
        if !take("0") { try digits() }
        var isInteger = true
        if take(".") {
            isInteger = false
            try digits()
        }
        if take("e") || take("E") {
            isInteger = false
            if !take("+") { _ = take("-") }
            try digits()
        }
        let text = String(decoding: (start..<position).map { bytes[$0] }, as: UTF8.self)
        if isInteger, let value = Int128(text) { return .integer(value) }
        guard let value = Double(text), value.isFinite else {
            throw JSONError("a number too large for a double", at: .byte(start))
        }
        return .number(value)
    }

    @_lifetime(self: copy self)
    private mutating func digits() throws(JSONError) {
        guard let first = next, isDigit(first) else { throw unexpected("a digit") }
        while let byte = next, isDigit(byte) { position += 1 }
    }

    private func isDigit(_ byte: UInt8) -> Bool {
        byte >= UInt8(ascii: "0") && byte <= UInt8(ascii: "9")
    }

    // MARK: Strings

    @_lifetime(self: copy self)
    private mutating func string() throws(JSONError) -> String {
        let start = position
        position += 1
        var content: [UInt8] = []
        while let byte = next {
            switch byte {
            case UInt8(ascii: "\""):
                position += 1
                guard let string = String(validating: content, as: UTF8.self) else {
                    throw JSONError("a string that is not valid UTF-8", at: .byte(start))
                }
                guard string.isStreamSafe else {
                    throw JSONError("a string with too many combining characters in a row", at: .byte(start))
                }
                return string
            case UInt8(ascii: "\\"):
                content.append(contentsOf: UTF8.encode(try escape()) ?? UTF8.encodedReplacementCharacter)
            case 0..<0x20:
                throw JSONError("a control character in a string must be escaped", at: .byte(position))
            default:
                content.append(byte)
                position += 1
            }
        }
        throw JSONError("a string without end", at: .byte(start))
    }

    @_lifetime(self: copy self)
    private mutating func escape() throws(JSONError) -> Unicode.Scalar {
        let start = position
        position += 1
        guard let letter = next else { throw unexpected("an escape sequence") }
        position += 1
        switch letter {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return Unicode.Scalar(letter)
        case UInt8(ascii: "b"): return "\u{8}"
        case UInt8(ascii: "f"): return "\u{C}"
        case UInt8(ascii: "n"): return "\n"
        case UInt8(ascii: "r"): return "\r"
        case UInt8(ascii: "t"): return "\t"
        case UInt8(ascii: "u"): return try scalar(startingAt: start)
        default: throw JSONError("an unknown escape sequence", at: .byte(start))
        }
    }

    /// The scalar of one `\uXXXX`, or of the two that write a surrogate pair; their first `\u` is taken.
    @_lifetime(self: copy self)
    private mutating func scalar(startingAt start: Int) throws(JSONError) -> Unicode.Scalar {
        let high = try fourHexDigits()
        if let scalar = Unicode.Scalar(high) { return scalar }
        guard UTF16.isLeadSurrogate(high), take("\\"), take("u"),
            case let low = try fourHexDigits(), UTF16.isTrailSurrogate(low)
        else { throw JSONError("half a surrogate pair", at: .byte(start)) }
        return UTF16.decode(UTF16.EncodedScalar([high, low]))
    }

    @_lifetime(self: copy self)
    private mutating func fourHexDigits() throws(JSONError) -> UInt16 {
        var value: UInt16 = 0
        for _ in 0..<4 {
            guard let byte = next, let digit = Character(Unicode.Scalar(byte)).hexDigitValue else {
                throw unexpected("a hexadecimal digit")
            }
            value = value << 4 | UInt16(digit)
            position += 1
        }
        return value
    }

    // MARK: Bytes

    private var next: UInt8? { position < bytes.count ? bytes[position] : nil }

    @_lifetime(self: copy self)
    private mutating func take(_ character: Unicode.Scalar) -> Bool {
        guard next == UInt8(ascii: character) else { return false }
        position += 1
        return true
    }

    @_lifetime(self: copy self)
    private mutating func takeAfterWhitespace(_ character: Unicode.Scalar) -> Bool {
        skipWhitespace()
        return take(character)
    }

    @_lifetime(self: copy self)
    private mutating func skipWhitespace() {
        while let byte = next, byte == 0x20 || byte == 0x09 || byte == 0x0A || byte == 0x0D { position += 1 }
    }

    private func unexpected(_ wanted: String) -> JSONError {
        let found =
            switch next {
            case nil: "the end"
            case .some(let byte) where byte > 0x20 && byte < 0x7F: "'\(Unicode.Scalar(byte))'"
            case .some(let byte): "the byte 0x\(String(byte, radix: 16))"
            }
        return JSONError("expected \(wanted), found \(found)", at: .byte(position))
    }
}
