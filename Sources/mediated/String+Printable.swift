extension String {
    /// The string as a terminal may have it, whoever wrote it: characters that would control the terminal, or turn
    /// the direction of writing, as `\u{…}`, and the middle of a long text left out.
    var printable: String {
        let limit = 1000
        guard unicodeScalars.count > limit else { return Self.printable(unicodeScalars[...]) }
        return Self.printable(unicodeScalars.prefix(limit / 2)) + " … "
            + Self.printable(unicodeScalars.suffix(limit / 2))
    }

    private static func printable(_ scalars: Substring.UnicodeScalarView) -> String {
        var text = ""
        for scalar in scalars {
            switch scalar.properties.generalCategory {
            case .control, .format, .lineSeparator, .paragraphSeparator, .privateUse, .unassigned:
                text += "\\u{\(String(scalar.value, radix: 16))}"
            default: text.unicodeScalars.append(scalar)
            }
        }
        return text
    }
}
