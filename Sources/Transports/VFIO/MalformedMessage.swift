/// A message that is not what its command requires.
public enum MalformedMessage: Error, Equatable, Sendable, CustomStringConvertible {
    /// The payload has `size` bytes but needs `minimum`.
    case tooShort(size: Int, minimum: Int)
    /// The payload has `size` bytes where `expected` are right.
    case wrongSize(size: Int, expected: Int)
    /// `argsz` says less than the structure needs.
    case argumentSize(UInt32, minimum: UInt32)
    /// Flag bits that don't exist, exclude each other, or lack one that is needed.
    case flags(UInt32)
    /// A field that must be zero, or lies outside its range.
    case field(String, value: UInt64)
    /// The text of a version message is no JSON object, or not terminated by NUL.
    case capabilities(String)

    public var description: String {
        switch self {
        case .tooShort(let size, let minimum): "The payload has \(size) bytes; at least \(minimum) are needed."
        case .wrongSize(let size, let expected): "The payload has \(size) bytes; it must have \(expected)."
        case .argumentSize(let value, let minimum): "argsz is \(value); at least \(minimum) is needed."
        case .flags(let value): "The flags \(String(value, radix: 16)) are not a legal combination."
        case .field(let name, let value): "The field \(name) must not be \(value)."
        case .capabilities(let reason): "The version data can't be used: \(reason)"
        }
    }
}

extension RawSpan {
    /// The wire structure at `offset`.
    ///
    /// - Throws: ``MalformedMessage/tooShort(size:minimum:)`` when it is not all there.
    @inlinable
    func load<Wire: BitwiseCopyable>(_ type: Wire.Type, at offset: Int = 0) throws(MalformedMessage) -> Wire {
        guard offset <= byteCount, MemoryLayout<Wire>.size <= byteCount - offset else {
            throw .tooShort(size: byteCount, minimum: offset + MemoryLayout<Wire>.size)
        }
        return unsafeLoadUnaligned(fromByteOffset: offset, as: type)
    }

    /// The only content of a payload: the structure and not a byte more.
    @inlinable
    func loadAll<Wire: BitwiseCopyable>(_ type: Wire.Type) throws(MalformedMessage) -> Wire {
        guard byteCount == MemoryLayout<Wire>.size else {
            if byteCount < MemoryLayout<Wire>.size {
                throw .tooShort(size: byteCount, minimum: MemoryLayout<Wire>.size)
            }
            throw .wrongSize(size: byteCount, expected: MemoryLayout<Wire>.size)
        }
        return unsafeLoadUnaligned(fromByteOffset: 0, as: type)
    }
}

extension MutableRawSpan {
    /// Writes a wire structure at `offset`.
    ///
    /// - Returns: the offset behind it.
    @inlinable
    @discardableResult
    @_lifetime(self: copy self)
    mutating func store<Wire: BitwiseCopyable>(_ wire: Wire, at offset: Int = 0) -> Int {
        storeBytes(of: wire, toByteOffset: offset, as: Wire.self)
        return offset + MemoryLayout<Wire>.size
    }
}
