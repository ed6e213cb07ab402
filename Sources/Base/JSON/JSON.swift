/// A JSON value (RFC 8259).
///
/// Integers and other numbers are told apart by how they are written: `1` is ``integer(_:)``, `1.0`
/// and `1e0` are ``number(_:)``, and the two are not equal.
public enum JSON: Equatable, Sendable {
    case null
    case bool(Bool)
    /// A number written without fraction and exponent. 128 bits hold every `Int64` and every `UInt64`.
    case integer(Int128)
    /// Any other number; finite.
    case number(Double)
    case string(String)
    case array([JSON])
    case object(Object)

    /// An integer, or the nearest double when it has more than 128 bits.
    public init(_ value: some BinaryInteger) {
        self = Int128(exactly: value).map(JSON.integer) ?? .number(Double(value))
    }

    // MARK: Looking inside

    public var bool: Bool? {
        if case .bool(let value) = self { value } else { nil }
    }

    public var string: String? {
        if case .string(let value) = self { value } else { nil }
    }

    /// The value of an integer; nil for anything else, and when it doesn't fit an `Int`.
    public var int: Int? {
        if case .integer(let value) = self { Int(exactly: value) } else { nil }
    }

    /// The value of an integer; nil for anything else, and when it doesn't fit a `UInt64`.
    public var uint64: UInt64? {
        if case .integer(let value) = self { UInt64(exactly: value) } else { nil }
    }

    /// The value of any number.
    public var double: Double? {
        switch self {
        case .integer(let value): Double(value)
        case .number(let value): value
        default: nil
        }
    }

    public var array: [JSON]? {
        if case .array(let value) = self { value } else { nil }
    }

    public var object: Object? {
        if case .object(let value) = self { value } else { nil }
    }

    /// The value of an object's member; nil when there is none, or this is no object.
    public subscript(name: String) -> JSON? { object?[name] }

    /// An array's element; nil when there is none, or this is no array.
    public subscript(index: Int) -> JSON? {
        guard let array, array.indices.contains(index) else { return nil }
        return array[index]
    }

    /// What kind of value this is, for messages: "a string".
    var kind: String {
        switch self {
        case .null: "null"
        case .bool: "a boolean"
        case .integer, .number: "a number"
        case .string: "a string"
        case .array: "an array"
        case .object: "an object"
        }
    }
}

extension JSON: ExpressibleByNilLiteral, ExpressibleByBooleanLiteral, ExpressibleByIntegerLiteral,
    ExpressibleByFloatLiteral, ExpressibleByStringLiteral, ExpressibleByStringInterpolation, ExpressibleByArrayLiteral,
    ExpressibleByDictionaryLiteral
{
    public init(nilLiteral: ()) { self = .null }
    public init(booleanLiteral value: Bool) { self = .bool(value) }
    public init(integerLiteral value: Int128) { self = .integer(value) }
    public init(floatLiteral value: Double) { self = .number(value) }
    public init(stringLiteral value: String) { self = .string(value) }
    public init(arrayLiteral elements: JSON...) { self = .array(elements) }
    public init(dictionaryLiteral members: (String, JSON)...) { self = .object(Object(members)) }
}
