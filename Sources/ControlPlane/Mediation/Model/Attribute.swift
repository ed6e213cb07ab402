/// A setting of a vGPU: an option of its device, or one of ``Limits``. What mdevctl calls an attribute.
public struct Attribute: Hashable, Codable, Sendable {
    public var name: String
    public var value: String

    public init(_ name: String, _ value: String) {
        self.name = name
        self.value = value
    }

    /// As in `--option NAME=VALUE`.
    public var word: String { "\(name)=\(value)" }
}
