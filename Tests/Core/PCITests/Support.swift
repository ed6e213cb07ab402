import PCI

/// A function with every kind of register that the module knows.
enum Sample {
    static let identity = PCIIdentity(
        vendor: 0x1af4, device: 0x1050, class: .displayOther, revision: 1, subsystemVendor: 0x1af5, subsystem: 0x1100)
    static let bars = [
        BARLayout(index: 0, space: .memory64, size: 16 << 20, prefetchable: true),
        BARLayout(index: 2, space: .memory32, size: 16 << 10),
        BARLayout(index: 3, space: .io, size: 32),
        BARLayout(index: 4, space: .memory64, size: 8 << 30, prefetchable: true),
    ]
    /// At 0x40, 0x48, 0x60, 0x6c, 0x7c and 0xb8.
    static let capabilities: [Capability] = [
        .powerManagement, .msi(vectors: 4, perVectorMasking: true),
        .msix(vectors: 70, tableBAR: 2, tableOffset: 0x1000, pendingBAR: 2, pendingOffset: 0x2000),
        .vendor([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13]), .pciExpress, .vendor([0xaa]),
    ]

    static func function() throws -> ConfigurationSpace {
        try ConfigurationSpace(
            identity: identity, bars: bars, capabilities: capabilities, interruptPin: .b, romSize: 64 << 10)
    }

    /// A function on conventional PCI: no capabilities, 256 bytes.
    static func plain(bars: [BARLayout] = [], romSize: UInt64 = 0) throws -> ConfigurationSpace {
        try ConfigurationSpace(identity: identity, bars: bars, romSize: romSize)
    }
}

extension ConfigurationSpace {
    func bytes(at offset: Int, count: Int) -> [UInt8] {
        var bytes = [UInt8](repeating: 0x5a, count: count)
        var span = bytes.mutableSpan
        var raw = span.mutableBytes
        read(at: offset, into: &raw)
        return bytes
    }

    func read<Value: FixedWidthInteger>(_ offset: Int, as type: Value.Type) -> Value {
        bytes(at: offset, count: Value.bitWidth / 8).reversed().reduce(0) { $0 << 8 | Value(truncatingIfNeeded: $1) }
    }

    func byte(_ offset: Int) -> UInt8 { read(offset, as: UInt8.self) }
    func word(_ offset: Int) -> UInt16 { read(offset, as: UInt16.self) }
    func dword(_ offset: Int) -> UInt32 { read(offset, as: UInt32.self) }

    @discardableResult
    mutating func write(_ bytes: [UInt8], at offset: Int) -> Changes {
        write(at: offset, from: bytes.span.bytes)
    }

    @discardableResult
    mutating func write<Value: FixedWidthInteger>(_ value: Value, at offset: Int) -> Changes {
        write(littleEndian(value), at: offset)
    }

    /// Where the capability with this ID is, found as an operating system does.
    func capability(_ id: UInt8, after previous: Int? = nil) -> Int? {
        guard word(0x06) & 1 << 4 != 0 else { return nil }
        var offset = Int(byte(previous.map { $0 + 1 } ?? 0x34))
        while offset != 0 {
            if byte(offset) == id { return offset }
            offset = Int(byte(offset + 1))
        }
        return nil
    }
}

extension MSIXTable {
    func bytes(at offset: Int, count: Int) -> [UInt8] {
        var bytes = [UInt8](repeating: 0x5a, count: count)
        var span = bytes.mutableSpan
        var raw = span.mutableBytes
        read(at: offset, into: &raw)
        return bytes
    }

    func pendingBytes(_ pending: [UInt64], at offset: Int, count: Int) -> [UInt8] {
        var bytes = [UInt8](repeating: 0x5a, count: count)
        var span = bytes.mutableSpan
        var raw = span.mutableBytes
        readPending(pending.span, at: offset, into: &raw)
        return bytes
    }

    @discardableResult
    mutating func write(_ bytes: [UInt8], at offset: Int) -> Range<Int> {
        write(at: offset, from: bytes.span.bytes)
    }

    @discardableResult
    mutating func write<Value: FixedWidthInteger>(_ value: Value, at offset: Int) -> Range<Int> {
        write(littleEndian(value), at: offset)
    }
}

func littleEndian<Value: FixedWidthInteger>(_ value: Value) -> [UInt8] {
    (0..<Value.bitWidth / 8).map { UInt8(truncatingIfNeeded: value >> Value($0 * 8)) }
}
