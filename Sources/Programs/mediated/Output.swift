import Glibc
import JSON
import Text

/// Standard output. All that a command prints goes through here, so that nothing of what others wrote reaches the
/// terminal as it is: names, options and events of a device, answers of a daemon or of QEMU, paths.
enum Output {
    /// Prints one line; tabs indent.
    static func print(_ line: String) {
        let pieces = line.split(separator: "\t", omittingEmptySubsequences: false)
        Swift.print(pieces.map { String($0).printable }.joined(separator: "\t"))
    }

    /// Whether standard output is a terminal that may show colours: its user can say no. https://no-color.org
    static var isColored: Bool {
        guard isatty(STDOUT_FILENO) == 1 else { return false }
        // SAFETY: nobody changes the environment.
        let wish = getenv("NO_COLOR").map { String(cString: $0) } ?? ""
        return wish.isEmpty && getenv("TERM").map { String(cString: $0) } != "dumb"
    }

    /// Prints one line of pieces, each with the number by which a terminal is told its colour, or without one.
    static func print(_ pieces: [(text: String, color: Int?)]) {
        let escape = "\u{1b}["
        Swift.print(
            pieces.map { piece in
                let text = piece.text.printable
                return piece.color.map { "\(escape)\($0)m\(text)\(escape)0m" } ?? text
            }.joined())
    }

    static func print(_ lines: [String]) {
        for line in lines { print(line) }
    }

    /// Prints lines that belong together, with an empty one between them and the next.
    static func print(paragraphs: [[String]]) {
        print(Array(paragraphs.joined(separator: [""])))
    }

    /// Prints a value for programs, on as many lines as it has members; or on one.
    static func print(json value: JSON, onOneLine: Bool = false) {
        Swift.print(onOneLine ? value.text : value.prettyText)
    }

    /// Prints a page of metrics, in which nothing unprintable is.
    static func print(page: String) {
        Swift.print(page, terminator: "")
    }
}

extension String {
    /// The text for one place in a line: printable, with the middle of a long one left out.
    var excerpt: String {
        let limit = 1000
        let scalars = unicodeScalars
        guard scalars.count > limit else { return printable }
        return String(scalars.prefix(limit / 2)).printable + " … " + String(scalars.suffix(limit / 2)).printable
    }

    /// A POSIX shell reads it back as one word.
    var shellQuoted: String {
        "'" + split(separator: "'", omittingEmptySubsequences: false).joined(separator: "'\\''") + "'"
    }
}
