/// What an administrator sees of a kind of device: its name, what it is for, what can be chosen.
public struct DeviceType: Sendable {
    /// As in `mediated run NAME`: lower case, digits and dashes.
    public var name: String
    /// One line.
    public var summary: String
    public var options: [Option]
    /// What its registers are called, as far as it says so.
    public var registers: [RegisterName]
    /// How much memory a device with such options has that guests map where they put its BARs, in bytes. Where a
    /// hypervisor can't map files, the guest needs so much beside its own. Without what is its owner's alone to write.
    public var mappedMemory: @Sendable (DeviceOptions) throws(OptionError) -> Int

    public init(
        name: String, summary: String, options: [Option] = [], registers: [RegisterName] = [],
        mappedMemory: @escaping @Sendable (DeviceOptions) throws(OptionError) -> Int = { _ in 0 }
    ) {
        self.name = name
        self.summary = summary
        self.options = options
        self.registers = registers
        self.mappedMemory = mappedMemory
    }

    /// Something that can be chosen when a device is made: `--option NAME=VALUE`.
    public struct Option: Sendable {
        public enum Kind: Sendable {
            /// A whole number; K, M and G multiply by powers of 1024.
            case integer(ClosedRange<Int>)
            /// `on` or `off`.
            case boolean
            /// One of these words.
            case choice([String])
            /// Anything, such as a path.
            case text
        }

        public var name: String
        public var kind: Kind
        /// The value when none is given, written as a user would; nil when there is none.
        public var standard: String?
        /// One line.
        public var help: String

        public init(_ name: String, _ kind: Kind, default standard: String? = nil, help: String) {
            self.name = name
            self.kind = kind
            self.standard = standard
            self.help = help
        }
    }
}

/// An option's value that can't be used. The description is a sentence for the user.
public struct OptionError: Error, CustomStringConvertible, Equatable {
    public let description: String

    public init(_ description: String) {
        self.description = description
    }
}

/// Something that a device was told to have and can't have, such as a socket where another process listens. The
/// description is a sentence for the user.
public struct UnavailableError: Error, CustomStringConvertible, Equatable {
    public let description: String

    public init(_ description: String) {
        self.description = description
    }
}

/// The values chosen for a device, checked against the options that its type declares.
public struct DeviceOptions: Sendable {
    private var integers: [String: Int] = [:]
    private var texts: [String: String] = [:]

    /// Checks `KEY=VALUE` words.
    ///
    /// - Throws: ``OptionError`` for an unknown key, a key given twice, or a value that doesn't fit.
    public init(_ words: [String] = [], for type: DeviceType) throws(OptionError) {
        var given: [String: String] = [:]
        for word in words {
            guard let equals = word.firstIndex(of: "=") else {
                throw OptionError("'\(word)' is not of the form KEY=VALUE. \(Self.hint(type))")
            }
            let key = String(word[..<equals])
            guard type.options.contains(where: { $0.name == key }) else {
                throw OptionError("'\(type.name)' has no option '\(key)'. \(Self.hint(type))")
            }
            guard given.updateValue(String(word[word.index(after: equals)...]), forKey: key) == nil else {
                throw OptionError("Option '\(key)' is given twice; give it once.")
            }
        }
        for option in type.options {
            guard let value = given[option.name] ?? option.standard else { continue }
            try set(option, to: value)
        }
    }

    private static func hint(_ type: DeviceType) -> String {
        guard !type.options.isEmpty else { return "It has none." }
        return "Its options: " + type.options.map(\.name).joined(separator: ", ") + "."
    }

    private mutating func set(_ option: DeviceType.Option, to value: String) throws(OptionError) {
        switch option.kind {
        case .integer(let range):
            guard let number = Self.number(value), range.contains(number) else {
                throw OptionError(
                    "Option '\(option.name)' is '\(value)' but must be a number from \(range.lowerBound) to \(range.upperBound)."
                )
            }
            integers[option.name] = number
        case .boolean:
            guard value == "on" || value == "off" else {
                throw OptionError("Option '\(option.name)' is '\(value)' but must be 'on' or 'off'.")
            }
            integers[option.name] = value == "on" ? 1 : 0
        case .choice(let words):
            guard words.contains(value) else {
                throw OptionError(
                    "Option '\(option.name)' is '\(value)' but must be one of: \(words.joined(separator: ", ")).")
            }
            texts[option.name] = value
        case .text:
            texts[option.name] = value
        }
    }

    private static func number(_ word: String) -> Int? {
        let factors: [Character: Int] = ["K": 1 << 10, "M": 1 << 20, "G": 1 << 30]
        guard let last = word.last else { return nil }
        let factor = factors[last] ?? 1
        guard let number = Int(factor == 1 ? word[...] : word.dropLast()) else { return nil }
        let (product, overflow) = number.multipliedReportingOverflow(by: factor)
        return overflow ? nil : product
    }

    /// The value of an integer option; 0 when none was given and there is no default, and for any other name.
    public func integer(_ name: String) -> Int { integers[name] ?? 0 }
    /// The value of a boolean option that has a default. False for any other name.
    public func boolean(_ name: String) -> Bool { integers[name] == 1 }
    /// The value of a text or choice option; nil when none was given and there is no default.
    public func text(_ name: String) -> String? { texts[name] }
}
