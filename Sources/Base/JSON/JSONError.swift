/// Why something is not JSON, or not the JSON that was wanted.
public struct JSONError: Error, Equatable, CustomStringConvertible {
    public enum Place: Equatable, Sendable {
        /// In a text: so many bytes from its start.
        case byte(Int)
        /// In a value: member names and indices on the way from the root, as in `registers[3].value`. Empty for
        /// the root itself.
        case path(String)
    }

    public var place: Place
    /// Half a sentence, such as "expected a number, found a string".
    public var reason: String

    public init(_ reason: String, at place: Place) {
        self.place = place
        self.reason = reason
    }

    public var description: String {
        switch place {
        case .byte(let offset): "byte \(offset): \(reason)"
        case .path(""): reason
        case .path(let path): "\(path): \(reason)"
        }
    }
}
