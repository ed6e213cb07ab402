/// The configuration space of one type-0 function, as its bus sees it: every register with its access rules,
/// BAR sizing, and the capability list.
///
/// All of it is data: a table of ``Register`` values, laid out once as bytes and masks. Reads and writes of any
/// offset and length then go byte by byte through the masks, so partial and straddling accesses need no care.
/// PCI Local Bus Specification 3.0, section 6.1; PCI Express Base Specification, section 7.5.1.
///
/// - Note: Reads and writes don't allocate as long as there is one copy of the value.
public struct ConfigurationSpace: Sendable {
    /// The BARs as declared.
    public let bars: [BARLayout]
    /// In bytes; 0 when there is none.
    public let romSize: UInt64
    /// Where the MSI-X table and pending-bit array are served; nil without MSI-X.
    public let msixLayout: MSIXLayout?
    /// By which BARs can be reached from here; nil without one. Places are from the beginning of configuration space.
    public let window: BARWindow?
    /// Every register, by ascending offset.
    public let registers: [Register]

    private let masks: Masks
    var bytes: [UInt8]

    /// Where the capabilities stand that have typed views.
    let powerManagement: Int?
    let msiCapability: Int?
    let msixCapability: Int?

    /// Lays out a function in its power-on state.
    ///
    /// - Parameters:
    ///   - bars: in any order.
    ///   - capabilities: the list has their order and begins at 0x40.
    ///   - romSize: in bytes, a power of two from 2 KiB to 16 MiB; 0 for no expansion ROM.
    /// - Throws: the first thing found that makes the declaration impossible.
    public init(
        identity: PCIIdentity, bars: [BARLayout], capabilities: [Capability] = [],
        interruptPin: InterruptPin? = nil, romSize: UInt64 = 0
    ) throws(ConfigurationError) {
        try BaseAddress.check(bars)
        try BaseAddress.check(romSize: romSize)
        let list = try CapabilityList(capabilities, bars: bars)
        self.bars = bars
        self.romSize = romSize
        msixLayout = list.msixLayout
        window = list.window
        powerManagement = list.offsets[PowerManagement.id]
        msiCapability = list.offsets[MSI.id]
        msixCapability = list.offsets[MSIX.id]

        let isExpress = list.offsets[PCIExpress.id] != nil
        registers =
            Header.registers(
                identity: identity, bars: bars, romSize: romSize, interruptPin: interruptPin,
                hasCapabilities: !capabilities.isEmpty, isExpress: isExpress) + list.registers
        // An express function's extended list is empty: a zero dword at 0x100. PCI Express Base
        // Specification, section 7.9.1.
        masks = Masks(registers, size: isExpress ? 4096 : 256)
        bytes = Array(repeating: 0, count: isExpress ? 4096 : 256)
        reset()
    }

    /// In bytes: 256, or 4096 with ``Capability/pciExpress``.
    public var size: Int { bytes.count }

    /// Reads from `offset` on, as many bytes as `target` has. Bytes outside ``size`` read as all ones, as
    /// on a bus where nobody answers.
    public func read(at offset: Int, into target: inout MutableRawSpan) {
        for index in 0..<target.byteCount {
            let position = offset &+ index
            let byte = bytes.indices.contains(position) ? bytes[position] : 0xff
            target.storeBytes(of: byte, toByteOffset: index, as: UInt8.self)
        }
    }

    /// Writes `source` from `offset` on. Read-only bits and bytes outside ``size`` stay as they are.
    ///
    /// - Returns: what has another value now, and whether a reset is asked for.
    public mutating func write(at offset: Int, from source: RawSpan) -> Changes {
        var changes: Changes = []
        for index in 0..<source.byteCount {
            let position = offset &+ index
            guard bytes.indices.contains(position) else { continue }
            changes.formUnion(write(source.byte(at: index), at: position))
        }
        return changes
    }

    private mutating func write(_ value: UInt8, at position: Int) -> Changes {
        let old = bytes[position]
        var writable = masks.writable[position]
        for choice in masks.choices where choice.position == position {
            if !choice.values.contains(value & choice.mask) { writable &= ~choice.mask }
        }
        let new = (old & ~writable | value & writable) & ~(value & masks.clearable[position])
        bytes[position] = new

        var changes: Changes = new == old ? [] : masks.changes[position]
        if value & masks.resetting[position] != 0 { changes.insert(.functionLevelReset) }
        return changes
    }

    /// Back to the power-on values: what a function-level reset and VFIO's DEVICE_RESET leave. There is no link
    /// whose settings a function-level reset would have to spare.
    public mutating func reset() {
        // Byte by byte: were the array shared with the masks, the next write would have to allocate.
        for position in bytes.indices { bytes[position] = masks.reset[position] }
    }

    // MARK: Registers as values

    /// The little-endian value at a register's offset. The offset must be a declared register's.
    func load<Value: FixedWidthInteger & UnsignedInteger>(_ offset: Int, as type: Value.Type) -> Value {
        var value: Value = 0
        for index in (0..<Value.bitWidth / 8).reversed() {
            value = value << 8 | Value(truncatingIfNeeded: bytes[offset + index])
        }
        return value
    }

    /// Sets the `mask` bits of the register at `offset` to those of `value`, whatever their access.
    mutating func drive(_ offset: Int, mask: UInt32, to value: UInt32) {
        for index in 0..<4 {
            let mask = UInt8(truncatingIfNeeded: mask >> (8 * index))
            guard mask != 0 else { continue }
            let value = UInt8(truncatingIfNeeded: value >> (8 * index))
            bytes[offset + index] = bytes[offset + index] & ~mask | value & mask
        }
    }
}

/// The registers' access rules, spread over the bytes of configuration space.
private struct Masks: Sendable {
    struct Choice: Sendable {
        var position: Int
        var mask: UInt8
        var values: [UInt8]
    }

    var reset: [UInt8]
    var writable: [UInt8]
    var clearable: [UInt8]
    var resetting: [UInt8]
    var changes: [ConfigurationSpace.Changes]
    var choices: [Choice] = []

    init(_ registers: [ConfigurationSpace.Register], size: Int) {
        reset = Array(repeating: 0, count: size)
        writable = reset
        clearable = reset
        resetting = reset
        changes = Array(repeating: [], count: size)
        for register in registers {
            for index in 0..<register.width.rawValue {
                let position = register.offset + index
                let shift = 8 * index
                reset[position] = UInt8(truncatingIfNeeded: register.reset >> shift)
                writable[position] = UInt8(truncatingIfNeeded: register.writable >> shift)
                clearable[position] = UInt8(truncatingIfNeeded: register.clearable >> shift)
                resetting[position] = UInt8(truncatingIfNeeded: register.resetting >> shift)
                changes[position] = register.changes
                if let choice = register.choice, UInt8(truncatingIfNeeded: choice.mask >> shift) != 0 {
                    choices.append(
                        Choice(
                            position: position, mask: UInt8(truncatingIfNeeded: choice.mask >> shift),
                            values: choice.values.map { UInt8(truncatingIfNeeded: $0 >> shift) }))
                }
            }
        }
    }
}

extension RawSpan {
    /// The byte at `offset`, which must be inside the span.
    func byte(at offset: Int) -> UInt8 {
        // SAFETY: every bit pattern is a UInt8, and the load checks its bounds.
        unsafeLoad(fromByteOffset: offset, as: UInt8.self)
    }
}
