/// The registers of one BAR as data: what a data sheet's register table says, in the same order.
///
///     static let registers: RegisterMap<Register> = [
///         .init(.sides, at: 0x00, width: .word, reset: 6),
///         .init(.roll, at: 0x02, width: .word, access: .readOnly),
///         .init(.status, at: 0x04, width: .dword, access: .writeOneToClear),
///     ]
///
/// The map turns an access of any width into accesses of whole registers, so that a device knows nothing of
/// partial and straddling accesses:
///
/// - An access that covers several registers reaches each of them once, the lowest offset first.
/// - A read of a part of a register takes that part of its value. The register is read whole, side effects included.
/// - A write of a part of a register leaves its other bytes alone, see ``RegisterWrite/merged(into:)``.
/// - Bytes that belong to no register read as 0 and ignore writes. So do read-only registers
///   ignore writes, and write-only registers read as 0.
///
/// A read-only and a write-only register may share an offset. Values are little-endian, as on PCI. An access
/// costs a binary search and no allocation.
public struct RegisterMap<Name: Equatable & Sendable>: Sendable, ExpressibleByArrayLiteral {
    /// One line of the table.
    public struct Register: Sendable {
        public let name: Name
        /// The first byte's place in the BAR.
        public let offset: UInt64
        public let width: AccessWidth
        public let access: RegisterAccess
        /// The value after a reset.
        public let reset: UInt64
        /// The place behind the last byte: a search looks at it again and again.
        @usableFromInline let end: UInt64

        public init(
            _ name: Name, at offset: UInt64, width: AccessWidth, access: RegisterAccess = .readWrite, reset: UInt64 = 0
        ) {
            self.name = name
            self.offset = offset
            self.width = width
            self.access = access
            self.reset = reset
            end = offset + UInt64(width.rawValue)
        }
    }

    /// Sorted by offset, not overlapping.
    @usableFromInline let readable: [Register]
    /// Sorted by offset, not overlapping.
    @usableFromInline let writable: [Register]

    /// - Precondition: no byte belongs to two registers that can be read, or to two that can be written.
    public init(_ registers: [Register]) {
        let sorted = registers.sorted { $0.offset < $1.offset }
        readable = sorted.filter { $0.access != .writeOnly }
        writable = sorted.filter { $0.access != .readOnly }
        for table in [readable, writable] {
            for (lower, upper) in zip(table, table.dropFirst()) {
                precondition(lower.end <= upper.offset, "Registers \(lower.name) and \(upper.name) overlap")
            }
        }
    }

    public init(arrayLiteral registers: Register...) {
        self.init(registers)
    }

    /// Reads `width` bytes.
    ///
    /// - Parameter value: gives a register's value; bits beyond the register's width are dropped.
    /// - Returns: the value in the low bits, as ``Device/read(_:at:width:)`` returns it.
    @inlinable
    public func read(at offset: UInt64, width: AccessWidth, _ value: (Name) -> UInt64) -> UInt64 {
        let end = offset &+ UInt64(width.rawValue)
        var result: UInt64 = 0
        let table = readable.span
        for index in Self.firstIndex(in: table, endingAfter: offset)..<table.count {
            let register = table[index]
            guard register.offset < end else { break }
            let whole = value(register.name) & register.width.mask
            // Shifts by 64 and more give 0; a negative distance shifts the other way.
            result |= whole << Self.bits(from: offset, to: register.offset)
        }
        return result & width.mask
    }

    /// Writes the low `width` bytes of `value`.
    ///
    /// - Parameter store: is told what was written to a register, in the register's own bit positions.
    @inlinable
    public func write(
        at offset: UInt64, width: AccessWidth, value: UInt64, _ store: (Name, RegisterWrite) -> Void
    ) {
        let end = offset &+ UInt64(width.rawValue)
        let table = writable.span
        for index in Self.firstIndex(in: table, endingAfter: offset)..<table.count {
            let register = table[index]
            guard register.offset < end else { break }
            let distance = Self.bits(from: offset, to: register.offset)
            let mask = (width.mask >> distance) & register.width.mask
            store(register.name, RegisterWrite(value: (value >> distance) & mask, mask: mask, access: register.access))
        }
    }

    /// The value of a register after a reset; 0 for one that isn't declared.
    public func reset(_ name: Name) -> UInt64 {
        (readable.first { $0.name == name } ?? writable.first { $0.name == name })?.reset ?? 0
    }

    @inlinable static func bits(from offset: UInt64, to register: UInt64) -> Int64 {
        8 &* (Int64(bitPattern: register) &- Int64(bitPattern: offset))
    }

    /// Where the registers begin that an access at `offset` can touch.
    @inlinable static func firstIndex(in table: Span<Register>, endingAfter offset: UInt64) -> Int {
        var low = 0
        var high = table.count
        while low < high {
            let middle = (low &+ high) >> 1
            if table[middle].end <= offset { low = middle &+ 1 } else { high = middle }
        }
        return low
    }
}

/// What a driver may do with a register.
public enum RegisterAccess: Sendable {
    case readWrite
    /// Writes are ignored.
    case readOnly
    /// Reads give 0.
    case writeOnly
    /// A 1 clears the bit, a 0 leaves it: for causes of interrupts.
    case writeOneToClear
}

/// What was written to one register: some of its bytes, or all.
public struct RegisterWrite: Equatable, Sendable {
    /// The bits written, in the register's own positions; 0 where nothing was written.
    public let value: UInt64
    /// Ones where something was written.
    public let mask: UInt64
    @usableFromInline let access: RegisterAccess

    @inlinable init(value: UInt64, mask: UInt64, access: RegisterAccess) {
        self.value = value
        self.mask = mask
        self.access = access
    }

    /// What the register holds after the write when it held `current` before: the bytes that were not
    /// written stay, and ones clear the bits of a ``RegisterAccess/writeOneToClear`` register.
    @inlinable
    public func merged<Value: FixedWidthInteger>(into current: Value) -> Value {
        let before = UInt64(truncatingIfNeeded: current)
        switch access {
        case .writeOneToClear: return Value(truncatingIfNeeded: before & ~value)
        case .readWrite, .readOnly, .writeOnly: return Value(truncatingIfNeeded: before & ~mask | value)
        }
    }
}

extension AccessWidth {
    /// Ones where a value of this width has its bits.
    @inlinable
    public var mask: UInt64 { .max >> UInt64(64 - 8 * rawValue) }
}
