/// Some bits of a register, with what they say, as data: for whoever shows registers to people.
public struct RegisterField: Equatable, Sendable {
    public let name: String
    public let bits: ClosedRange<Int>
    public let meaning: Meaning

    public enum Meaning: Equatable, Sendable {
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

    /// - Parameter bits: of 0 to 63.
    public init(_ name: String, _ bits: ClosedRange<Int>, _ meaning: Meaning) {
        self.name = name
        self.bits = bits
        self.meaning = meaning
    }

    public static func flag(_ name: String, _ bit: Int) -> RegisterField { .init(name, bit...bit, .flag) }

    public static func number(
        _ name: String, _ bits: ClosedRange<Int>, times: UInt64 = 1, plus: UInt64 = 0
    ) -> RegisterField {
        .init(name, bits, .number(times: times, plus: plus))
    }

    public static func power(_ name: String, _ bits: ClosedRange<Int>, times: UInt64 = 1) -> RegisterField {
        .init(name, bits, .power(times: times))
    }

    public static func hexadecimal(_ name: String, _ bits: ClosedRange<Int>) -> RegisterField {
        .init(name, bits, .hexadecimal)
    }

    public static func address(_ name: String, _ bits: ClosedRange<Int>) -> RegisterField {
        .init(name, bits, .address)
    }

    public static func choice(_ name: String, _ bits: ClosedRange<Int>, _ names: [String]) -> RegisterField {
        .init(name, bits, .choice(names))
    }
}

extension [RegisterField] {
    /// A flag for each name, from bit `first` up; none for an empty name.
    public static func flags(_ names: String..., from first: Int = 0) -> [RegisterField] {
        names.enumerated().filter { !$0.element.isEmpty }.map { .flag($0.element, first + $0.offset) }
    }
}

// MARK: Reading

extension RegisterField {
    /// What the bits of a register say.
    public enum Reading: Equatable, Sendable {
        case flag(Bool)
        case word(String)
        case number(UInt64)
    }

    public func reading(of register: UInt64) -> Reading {
        let value = register.field(bits)
        return switch meaning {
        case .flag: .flag(value == 1)
        case .number(let times, let plus): .number(value &* times &+ plus)
        case .power(let times): .number(times << value)
        case .hexadecimal: .number(value)
        case .address: .number(value << UInt64(bits.lowerBound))
        case .choice(let names): .word(value < UInt64(names.count) ? names[Int(value)] : "reserved(\(value))")
        }
    }

    /// The name, with the value behind `=`; of a flag the name alone, whether it is set or not.
    public func text(of register: UInt64) -> String {
        switch reading(of: register) {
        case .flag: return name
        case .word(let word): return "\(name)=\(word)"
        case .number(let number):
            let digits: Int? =
                switch meaning {
                case .hexadecimal: (bits.count + 3) / 4
                case .address: (bits.upperBound + 4) / 4
                default: nil
                }
            guard let digits else { return "\(name)=\(number)" }
            let text = String(number, radix: 16)
            return "\(name)=\(String(repeating: "0", count: max(0, digits - text.count)))\(text)"
        }
    }
}

extension UInt64 {
    /// The number that some of the bits are.
    public func field(_ bits: ClosedRange<Int>) -> UInt64 {
        self >> UInt64(bits.lowerBound) & .max >> UInt64(64 - bits.count)
    }
}
