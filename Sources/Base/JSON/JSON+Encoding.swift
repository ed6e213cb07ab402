extension JSON {
    /// The JSON of a value, as its `Codable` conformance writes it. Integers keep all their bits.
    ///
    /// - Throws: ``JSONError`` with the path of what can't be written: NaN and infinities, and whatever the
    ///   value's own `encode(to:)` refuses.
    public init(encoding value: some Encodable) throws(JSONError) {
        do {
            self = try Part(value, path: []).finished
        } catch let EncodingError.invalidValue(_, context) {
            throw JSONError(context.debugDescription, at: .path(context.codingPath.jsonPath))
        } catch {
            throw JSONError("\(error)", at: .path(""))
        }
    }
}

extension [any CodingKey] {
    /// As in `registers[3].value`.
    var jsonPath: String {
        var path = ""
        for key in self {
            if let index = key.intValue {
                path += "[\(index)]"
            } else {
                path += path.isEmpty ? key.stringValue : ".\(key.stringValue)"
            }
        }
        return path
    }
}

/// Names an element of an array in a coding path.
struct IndexKey: CodingKey {
    let index: Int

    init(_ index: Int) { self.index = index }
    init?(stringValue: String) { nil }
    init?(intValue: Int) { self.init(intValue) }
    var intValue: Int? { index }
    var stringValue: String { "\(index)" }
}

/// The member that `superEncoder()` and `superDecoder()` use when they are given no key.
struct SuperKey: CodingKey {
    init() {}
    init?(stringValue: String) { nil }
    init?(intValue: Int) { nil }
    var intValue: Int? { nil }
    var stringValue: String { "super" }
}

/// A value on its way to JSON: done, or a container that its encoder may still fill.
private enum Part {
    case done(JSON)
    case open(Container)

    init(_ value: some Encodable, path: [any CodingKey]) throws {
        // Numbers and strings are met once for each register of a device: they need no container.
        switch value {
        case let value as Int128: self = .done(.integer(value))
        case let value as any BinaryInteger: self = .done(try JSON(exactly: value, path))
        case let value as String: self = .done(.string(value))
        default:
            let encoder = Container(path)
            try value.encode(to: encoder)
            self = .open(encoder)
        }
    }

    var finished: JSON {
        switch self {
        case .done(let value): value
        case .open(let container): container.finished
        }
    }
}

extension JSON {
    fileprivate init(exactly value: some BinaryInteger, _ path: [any CodingKey]) throws {
        guard let exact = Int128(exactly: value) else { throw invalid(value, "more than 128 bits", path) }
        self = .integer(exact)
    }

    fileprivate init(exactly value: some BinaryFloatingPoint, _ path: [any CodingKey]) throws {
        let double = Double(value)
        guard double.isFinite else { throw invalid(value, "JSON has no number for \(value)", path) }
        self = .number(double)
    }
}

private func invalid(_ value: Any, _ reason: String, _ path: [any CodingKey]) -> EncodingError {
    .invalidValue(value, .init(codingPath: path, debugDescription: reason))
}

/// The encoder of one value, and what it has written so far. A class, because nested containers are handed out
/// and filled later.
private final class Container: Encoder {
    enum Content {
        case nothing
        case single(Part)
        case array([Part])
        case object([(String, Part)])
    }

    let codingPath: [any CodingKey]
    var userInfo: [CodingUserInfoKey: Any] { [:] }
    private(set) var content = Content.nothing

    init(_ path: [any CodingKey]) {
        codingPath = path
    }

    /// A value that writes nothing becomes an empty object, which gives it nothing to read again.
    var finished: JSON {
        switch content {
        case .nothing: [:]
        case .single(let part): part.finished
        case .array(let parts): .array(parts.map(\.finished))
        case .object(let members): .object(JSON.Object(members.map { ($0, $1.finished) }))
        }
    }

    func container<Key: CodingKey>(keyedBy type: Key.Type) -> KeyedEncodingContainer<Key> {
        if case .nothing = content { content = .object([]) }
        return KeyedEncodingContainer(Keyed<Key>(container: self))
    }

    func unkeyedContainer() -> any UnkeyedEncodingContainer {
        if case .nothing = content { content = .array([]) }
        return Unkeyed(container: self)
    }

    func singleValueContainer() -> any SingleValueEncodingContainer {
        Single(container: self)
    }

    // A value that asks for containers of different kinds keeps what it asked for first.

    func set(_ part: Part) {
        if case .nothing = content { content = .single(part) }
    }

    func append(_ part: Part) {
        guard case .array(var parts) = content else { return }
        // Taken out while it grows, lest every element copy the array.
        content = .nothing
        parts.append(part)
        content = .array(parts)
    }

    func add(_ key: any CodingKey, _ part: Part) {
        guard case .object(var members) = content else { return }
        content = .nothing
        members.append((key.stringValue, part))
        content = .object(members)
    }

    var count: Int {
        if case .array(let parts) = content { parts.count } else { 0 }
    }

    /// The encoder of a member or an element.
    func child(_ key: any CodingKey) -> Container {
        let child = Container(codingPath + [key])
        if key is IndexKey { append(.open(child)) } else { add(key, .open(child)) }
        return child
    }
}

private struct Single: SingleValueEncodingContainer {
    let container: Container
    var codingPath: [any CodingKey] { container.codingPath }

    func encodeNil() { container.set(.done(.null)) }
    func encode(_ value: Bool) { container.set(.done(.bool(value))) }
    func encode(_ value: String) { container.set(.done(.string(value))) }
    func encode(_ value: Int128) { container.set(.done(.integer(value))) }
    func encode(_ value: UInt128) throws { container.set(.done(try JSON(exactly: value, codingPath))) }
    func encode<Value: BinaryInteger & Encodable>(_ value: Value) throws {
        container.set(.done(try JSON(exactly: value, codingPath)))
    }
    func encode<Value: BinaryFloatingPoint & Encodable>(_ value: Value) throws {
        container.set(.done(try JSON(exactly: value, codingPath)))
    }
    func encode<Value: Encodable>(_ value: Value) throws { container.set(try Part(value, path: codingPath)) }
}

private struct Unkeyed: UnkeyedEncodingContainer {
    let container: Container
    var codingPath: [any CodingKey] { container.codingPath }
    var count: Int { container.count }
    private var next: [any CodingKey] { codingPath + [IndexKey(count)] }

    func encodeNil() { container.append(.done(.null)) }
    func encode(_ value: Bool) { container.append(.done(.bool(value))) }
    func encode(_ value: String) { container.append(.done(.string(value))) }
    func encode(_ value: Int128) { container.append(.done(.integer(value))) }
    func encode(_ value: UInt128) throws { container.append(.done(try JSON(exactly: value, next))) }
    func encode<Value: BinaryInteger & Encodable>(_ value: Value) throws {
        container.append(.done(try JSON(exactly: value, next)))
    }
    func encode<Value: BinaryFloatingPoint & Encodable>(_ value: Value) throws {
        container.append(.done(try JSON(exactly: value, next)))
    }
    func encode<Value: Encodable>(_ value: Value) throws { container.append(try Part(value, path: next)) }

    func nestedContainer<Key: CodingKey>(keyedBy type: Key.Type) -> KeyedEncodingContainer<Key> {
        container.child(IndexKey(count)).container(keyedBy: type)
    }
    func nestedUnkeyedContainer() -> any UnkeyedEncodingContainer {
        container.child(IndexKey(count)).unkeyedContainer()
    }
    func superEncoder() -> any Encoder { container.child(IndexKey(count)) }
}

private struct Keyed<Key: CodingKey>: KeyedEncodingContainerProtocol {
    let container: Container
    var codingPath: [any CodingKey] { container.codingPath }

    func encodeNil(forKey key: Key) { container.add(key, .done(.null)) }
    func encode(_ value: Bool, forKey key: Key) { container.add(key, .done(.bool(value))) }
    func encode(_ value: String, forKey key: Key) { container.add(key, .done(.string(value))) }
    func encode(_ value: Int128, forKey key: Key) { container.add(key, .done(.integer(value))) }
    func encode(_ value: UInt128, forKey key: Key) throws {
        container.add(key, .done(try JSON(exactly: value, codingPath + [key])))
    }
    func encode<Value: BinaryInteger & Encodable>(_ value: Value, forKey key: Key) throws {
        container.add(key, .done(try JSON(exactly: value, codingPath + [key])))
    }
    func encode<Value: BinaryFloatingPoint & Encodable>(_ value: Value, forKey key: Key) throws {
        container.add(key, .done(try JSON(exactly: value, codingPath + [key])))
    }
    func encode<Value: Encodable>(_ value: Value, forKey key: Key) throws {
        container.add(key, try Part(value, path: codingPath + [key]))
    }

    func nestedContainer<Nested: CodingKey>(
        keyedBy type: Nested.Type, forKey key: Key
    ) -> KeyedEncodingContainer<Nested> {
        container.child(key).container(keyedBy: type)
    }
    func nestedUnkeyedContainer(forKey key: Key) -> any UnkeyedEncodingContainer {
        container.child(key).unkeyedContainer()
    }
    func superEncoder() -> any Encoder { container.child(SuperKey()) }
    func superEncoder(forKey key: Key) -> any Encoder { container.child(key) }
}
