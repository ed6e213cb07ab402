/// Why a profile can't be used.
public struct ProfileError: Error, Equatable, CustomStringConvertible {
    /// The file, as it was named.
    public var path: String
    /// Nil for what concerns the whole file.
    public var place: Place?
    /// Sentences with the value and the way out.
    public var reason: String

    public init(path: String, place: Place?, reason: String) {
        self.path = path
        self.place = place
        self.reason = reason
    }

    /// As compilers write it, so that editors find the place: `types.yaml:12:5: …`
    public var description: String {
        "\(path)\(place.map { ":\($0.line):\($0.column)" } ?? ""): \(reason)"
    }
}

/// A place in a text. Both count from 1, a column is a character.
public struct Place: Equatable, Sendable {
    public var line: Int
    public var column: Int

    public init(line: Int, column: Int) {
        self.line = line
        self.column = column
    }
}

/// A ``ProfileError`` where the file isn't known.
struct Fault: Error {
    var place: Place?
    var reason: String

    init(_ place: Place?, _ reason: String) {
        self.place = place
        self.reason = reason
    }
}
