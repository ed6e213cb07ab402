import JSON
import PCI

/// A register of configuration space as data: where it stands and what its bits say. Its name and those of its fields
/// are `lspci`'s as far as it has some; programs find them in the JSON, so they stay what they are.
package struct RegisterLayout: Sendable {
    package let name: String
    /// In bytes from the beginning of the structure that it belongs to.
    package let offset: Int
    /// In bytes: 1, 2, 4 or 8.
    package let width: Int
    /// All must hold, or the structure doesn't have this register.
    let conditions: [Condition]
    package let fields: [RegisterField]

    init(_ name: String, at offset: Int, width: Int, if conditions: [Condition] = [], _ fields: [RegisterField]) {
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

/// A register with the value that it has.
package struct RegisterReport {
    package let layout: RegisterLayout
    /// In configuration space.
    package let offset: Int
    let value: UInt64

    var text: String { layout.fields.map { $0.linePart(value) }.joined(separator: " ") }

    var line: String { "\(layout.name): \(text)" }

    var json: JSON {
        [
            "name": .string(layout.name), "offset": JSON(offset), "value": JSON(value),
            "fields": .object(JSON.Object(layout.fields.map { ($0.name, $0.json(value)) })),
        ]
    }
}

extension RegisterField {
    fileprivate func linePart(_ register: UInt64) -> String {
        guard case .flag(let isSet) = reading(of: register) else { return text(of: register) }
        return name + (isSet ? "+" : "-")
    }

    /// True or false for a flag, a string for a choice, else a number.
    package func json(_ register: UInt64) -> JSON {
        switch reading(of: register) {
        case .flag(let isSet): .bool(isSet)
        case .word(let word): .string(word)
        case .number(let number): JSON(number)
        }
    }
}
