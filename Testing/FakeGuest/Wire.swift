import VFIO

/// Numbers one behind the other, each as wide as its type, in the byte order of the host.
public func wire(_ fields: any FixedWidthInteger...) -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(fields.reduce(0) { $0 + $1.bitWidth / 8 })
    for field in fields { bytes.append(field) }
    return bytes
}

/// What a value of the protocol writes of itself.
///
/// - Parameters:
///   - room: the most bytes that it may have.
///   - write: returns how many it has.
public func wire(room: Int = 8192, _ write: (inout MutableRawSpan) -> Int) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: room)
    var span = bytes.mutableSpan
    var raw = span.mutableBytes
    let count = write(&raw)
    return Array(bytes.prefix(count))
}

/// A whole message.
///
/// - Parameter size: what the header says it is, when not what it is.
public func message(
    _ command: Command, id: UInt16 = 0, _ payload: [UInt8] = [], flags: MessageHeader.Flags = [], size: UInt32? = nil
) -> [UInt8] {
    message(command: command.rawValue, id: id, payload, flags: flags.rawValue, size: size)
}

/// A whole message of any command and flags.
public func message(
    command: UInt16, id: UInt16 = 0, _ payload: [UInt8] = [], flags: UInt32 = 0, size: UInt32? = nil
) -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(MessageHeader.size + payload.count)
    bytes.append(id)
    bytes.append(command)
    bytes.append(size ?? UInt32(MessageHeader.size + payload.count))
    bytes.append(flags)
    bytes.append(UInt32(0))
    bytes += payload
    return bytes
}

extension [UInt8] {
    fileprivate mutating func append(_ number: some FixedWidthInteger) {
        Swift.withUnsafeBytes(of: number) { append(contentsOf: $0) }
    }

    /// The same bytes with a number stored over those at `offset`.
    public func replacing(at offset: Int, with number: any FixedWidthInteger) -> [UInt8] {
        var bytes = self
        let field = wire(number)
        bytes.replaceSubrange(offset..<offset + field.count, with: field)
        return bytes
    }

    /// The number at `offset`; nil when it isn't all there.
    public func number<Value: FixedWidthInteger & BitwiseCopyable>(_ type: Value.Type, at offset: Int) -> Value? {
        guard offset >= 0, count - offset >= MemoryLayout<Value>.size else { return nil }
        return withUnsafeBytes { $0.loadUnaligned(fromByteOffset: offset, as: type) }
    }
}
