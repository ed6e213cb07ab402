import JSON

/// A register of configuration space as data: where it stands and what its bits say. Its name and those of its fields
/// are `lspci`'s as far as it has some; programs find them in the JSON, so they stay what they are.
struct RegisterLayout: Sendable {
    let name: String
    /// In bytes from the beginning of the structure that it belongs to.
    let offset: Int
    /// In bytes: 1, 2, 4 or 8.
    let width: Int
    /// All must hold, or the structure doesn't have this register.
    let conditions: [Condition]
    let fields: [Field]

    init(_ name: String, at offset: Int, width: Int, if conditions: [Condition] = [], _ fields: [Field]) {
        self.name = name
        self.offset = offset
        self.width = width
        self.conditions = conditions
        self.fields = fields
    }

    /// Bits of another register of the structure that decide whether a register is there.
    struct Condition: Sendable {
        let offset: Int
        let width: Int
        let bits: ClosedRange<Int>
        let values: ClosedRange<UInt64>
    }

    struct Field: Sendable {
        let name: String
        let bits: ClosedRange<Int>
        let meaning: Meaning

        enum Meaning: Sendable {
            /// One bit.
            case flag
            /// A number of which `times` and then `plus` make what it stands for.
            case number(times: UInt64, plus: UInt64)
            /// The exponent of a power of two, of which `times` makes what it stands for.
            case power(times: UInt64)
            case hexadecimal
            /// The bits where they stand, with zeros below: an address or an offset.
            case address
            /// A name for each value from 0 on.
            case choice([String])
        }

        static func flag(_ name: String, _ bit: Int) -> Field { Field(name: name, bits: bit...bit, meaning: .flag) }

        static func number(_ name: String, _ bits: ClosedRange<Int>, times: UInt64 = 1, plus: UInt64 = 0) -> Field {
            Field(name: name, bits: bits, meaning: .number(times: times, plus: plus))
        }

        static func power(_ name: String, _ bits: ClosedRange<Int>, times: UInt64 = 1) -> Field {
            Field(name: name, bits: bits, meaning: .power(times: times))
        }

        static func hexadecimal(_ name: String, _ bits: ClosedRange<Int>) -> Field {
            Field(name: name, bits: bits, meaning: .hexadecimal)
        }

        static func address(_ name: String, _ bits: ClosedRange<Int>) -> Field {
            Field(name: name, bits: bits, meaning: .address)
        }

        static func choice(_ name: String, _ bits: ClosedRange<Int>, _ names: [String]) -> Field {
            Field(name: name, bits: bits, meaning: .choice(names))
        }
    }

    /// The register of the structure at `base`; nil when it has none there, or it runs past `end`.
    func report(_ space: ConfigurationBytes, at base: Int, end: Int) -> RegisterReport? {
        let isThere = conditions.allSatisfy { condition in
            space.load(at: base + condition.offset, width: condition.width)
                .map { condition.values.contains($0.field(condition.bits)) } ?? false
        }
        guard isThere, base + offset + width <= end, let value = space.load(at: base + offset, width: width) else {
            return nil
        }
        return RegisterReport(layout: self, offset: base + offset, value: value)
    }
}

extension [RegisterLayout.Field] {
    /// A flag for each name, from bit `first` up; none for an empty name.
    static func flags(_ names: String..., from first: Int = 0) -> [RegisterLayout.Field] {
        names.enumerated().filter { !$0.element.isEmpty }.map { .flag($0.element, first + $0.offset) }
    }
}

/// A register with the value that it has.
struct RegisterReport {
    let layout: RegisterLayout
    /// In configuration space.
    let offset: Int
    let value: UInt64

    var text: String { layout.fields.map { $0.text(value) }.joined(separator: " ") }

    var line: String { "\(layout.name): \(text)" }

    var json: JSON {
        [
            "name": .string(layout.name), "offset": JSON(offset), "value": JSON(value),
            "fields": .object(JSON.Object(layout.fields.map { ($0.name, $0.json(value)) })),
        ]
    }
}

extension RegisterLayout.Field {
    fileprivate func text(_ register: UInt64) -> String {
        switch meaning {
        case .flag: name + (register.field(bits) == 1 ? "+" : "-")
        case .number, .power: "\(name)=\(number(register))"
        case .hexadecimal: "\(name)=\(number(register).hexadecimal(digits: (bits.count + 3) / 4))"
        case .address: "\(name)=\(number(register).hexadecimal(digits: (bits.upperBound + 4) / 4))"
        case .choice(let names): "\(name)=\(choice(register, names))"
        }
    }

    /// True or false for a flag, a string for a choice, else a number.
    fileprivate func json(_ register: UInt64) -> JSON {
        switch meaning {
        case .flag: .bool(register.field(bits) == 1)
        case .choice(let names): .string(choice(register, names))
        case .number, .power, .hexadecimal, .address: JSON(number(register))
        }
    }

    private func number(_ register: UInt64) -> UInt64 {
        let value = register.field(bits)
        return switch meaning {
        case .number(let times, let plus): value &* times &+ plus
        case .power(let times): times << value
        case .address: value << UInt64(bits.lowerBound)
        case .flag, .hexadecimal, .choice: value
        }
    }

    private func choice(_ register: UInt64, _ names: [String]) -> String {
        let value = register.field(bits)
        return value < UInt64(names.count) ? names[Int(value)] : "reserved(\(value))"
    }
}

extension UInt64 {
    /// The number that some of the bits are.
    fileprivate func field(_ bits: ClosedRange<Int>) -> UInt64 {
        self >> UInt64(bits.lowerBound) & .max >> UInt64(64 - bits.count)
    }
}
