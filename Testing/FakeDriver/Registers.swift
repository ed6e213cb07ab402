import Device
import VFIOUserClient

/// How a driver reaches a function's regions: by a hypervisor, or in this process.
public protocol Registers: AnyObject {
    /// Reads a little-endian number of `width` bytes.
    func load(region: Int, offset: UInt64, width: AccessWidth) throws -> UInt64
    func store(_ value: UInt64, region: Int, offset: UInt64, width: AccessWidth) throws
}

extension Client: Registers {
    public func load(region: Int, offset: UInt64, width: AccessWidth) throws -> UInt64 {
        let bytes: [UInt8] = try read(region: region, offset: offset, count: width.rawValue)
        return bytes.reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }

    public func store(_ value: UInt64, region: Int, offset: UInt64, width: AccessWidth) throws {
        try write(region: region, offset: offset, bytes: littleEndian(value, width).span.bytes)
    }
}

extension Function: Registers {
    public func load(region: Int, offset: UInt64, width: AccessWidth) throws -> UInt64 {
        var number: InlineArray<1, UInt64> = [0]
        var span = number.mutableSpan
        var raw = span.mutableBytes
        var bytes = raw._mutatingExtracting(0..<width.rawValue)
        try read(region: region, offset: offset, into: &bytes)
        return UInt64(littleEndian: number[0])
    }

    public func store(_ value: UInt64, region: Int, offset: UInt64, width: AccessWidth) throws {
        let number: InlineArray<1, UInt64> = [value.littleEndian]
        try write(region: region, offset: offset, from: number.span.bytes.extracting(first: width.rawValue))
    }
}

private func littleEndian(_ value: UInt64, _ width: AccessWidth) -> [UInt8] {
    (0..<width.rawValue).map { UInt8(truncatingIfNeeded: value >> UInt64(8 * $0)) }
}
