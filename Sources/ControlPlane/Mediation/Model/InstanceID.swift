import FoundationEssentials

/// A vGPU's UUID, in lower case as mdevctl and sysfs write it. RFC 9562
public struct InstanceID: Hashable, Codable, Sendable, CustomStringConvertible {
    private let uuid: UUID

    /// A new, random one.
    public init() {
        uuid = UUID()
    }

    /// Reads one in its usual form, in either case; nil for anything else.
    public init?(_ text: String) {
        guard let uuid = UUID(uuidString: text) else { return nil }
        self.uuid = uuid
    }

    public var description: String { uuid.uuidString.lowercased() }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        let text = try container.decode(String.self)
        guard let id = InstanceID(text) else {
            throw DecodingError.dataCorruptedError(in: container, debugDescription: "'\(text)' is no UUID")
        }
        self = id
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}
