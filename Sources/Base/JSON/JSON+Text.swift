import Text

extension JSON {
    /// The value as one line of JSON: no line break, no white space, members in their order. What isn't printable is
    /// escaped.
    public var text: String { write(indent: nil) }

    /// The value as JSON for people: a line for each member and element, two spaces per level.
    public var prettyText: String { write(indent: 0) }

    private func write(indent: Int?) -> String {
        var text = ""
        write(to: &text, indent: indent)
        return text
    }

    private func write(to text: inout String, indent: Int?) {
        switch self {
        case .null: text += "null"
        case .bool(let value): text += value ? "true" : "false"
        case .integer(let value): text += String(value)
        // JSON has no infinity and no NaN. The shortest text that gives the same double again.
        case .number(let value): text += value.isFinite ? value.description : "null"
        case .string(let value): Self.write(value, to: &text)
        case .array(let elements):
            Self.write(elements, between: "[", "]", to: &text, indent: indent) { element, text, indent in
                element.write(to: &text, indent: indent)
            }
        case .object(let members):
            Self.write(members, between: "{", "}", to: &text, indent: indent) { member, text, indent in
                Self.write(member.name, to: &text)
                text += indent == nil ? ":" : ": "
                member.value.write(to: &text, indent: indent)
            }
        }
    }

    private static func write<Items: Collection>(
        _ items: Items, between open: String, _ close: String, to text: inout String, indent: Int?,
        each: (Items.Element, inout String, Int?) -> Void
    ) {
        text += open
        let inner = indent.map { $0 + 2 }
        var isFirst = true
        for item in items {
            if !isFirst { text += "," }
            isFirst = false
            breakLine(in: &text, indent: inner)
            each(item, &text, inner)
        }
        if !isFirst { breakLine(in: &text, indent: indent) }
        text += close
    }

    private static func breakLine(in text: inout String, indent: Int?) {
        guard let indent else { return }
        text += "\n" + String(repeating: " ", count: indent)
    }

    private static func escape(_ unit: UTF16.CodeUnit) -> String {
        let digits = String(unit, radix: 16)
        return "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
    }

    private static func write(_ string: String, to text: inout String) {
        text += "\""
        for scalar in string.unicodeScalars {
            switch scalar {
            case "\"": text += "\\\""
            case "\\": text += "\\\\"
            case "\n": text += "\\n"
            case "\r": text += "\\r"
            case "\t": text += "\\t"
            case _ where scalar.isPrintable: text.unicodeScalars.append(scalar)
            // JSON asks for this below U+0020 only. But it is shown on terminals, too, whoever has written the string.
            default: for unit in String(scalar).utf16 { text += escape(unit) }
            }
        }
        text += "\""
    }
}
