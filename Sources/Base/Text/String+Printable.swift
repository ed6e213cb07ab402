extension Unicode.Scalar {
    /// Whether a terminal shows it and does nothing else. Not so are the characters that control a terminal (C0, DEL,
    /// C1), end a line, turn the direction of writing or aren't seen, and those of which nobody knows.
    /// `General_Category`
    public var isPrintable: Bool {
        switch self {
        case " "..."~": true
        default:
            switch properties.generalCategory {
            case .control, .format, .lineSeparator, .paragraphSeparator, .privateUse, .unassigned: false
            default: true
            }
        }
    }
}

extension String {
    /// The text as a terminal may have it, whoever wrote it: one line, with what isn't printable as `\u{…}`.
    public var printable: String {
        var text = ""
        for scalar in unicodeScalars {
            if scalar.isPrintable {
                text.unicodeScalars.append(scalar)
            } else {
                text += "\\u{\(String(scalar.value, radix: 16))}"
            }
        }
        return text
    }
}
