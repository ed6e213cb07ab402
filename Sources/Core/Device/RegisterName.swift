import PCI

/// Where a register stands, and what its specification calls it: for whoever shows accesses to people.
public struct RegisterName: Equatable, Sendable {
    public var name: String
    public var bar: Int
    /// Of the first byte, from the beginning of the BAR.
    public var offset: UInt64
    /// In bytes.
    public var width: Int
    /// Whether reads reach it, and whether writes do: two registers may have one place.
    public var isReadable: Bool
    public var isWritable: Bool
    /// What its bits say, as far as they say something apart.
    public var fields: [RegisterField]

    public init(
        name: String, bar: Int, offset: UInt64, width: Int, isReadable: Bool, isWritable: Bool,
        fields: [RegisterField] = []
    ) {
        self.name = name
        self.bar = bar
        self.offset = offset
        self.width = width
        self.isReadable = isReadable
        self.isWritable = isWritable
        self.fields = fields
    }
}

extension RegisterMap {
    /// The names of all registers.
    ///
    /// - Parameters:
    ///   - bar: the index of the BAR that they are in.
    ///   - base: the place in the BAR that their offsets count from.
    ///   - fields: what the bits of one say. They stand beside the table, which is gone through for each access.
    ///   - name: what people call one; its name in the code unless given.
    public func names(
        bar: Int, from base: UInt64 = 0, fields: (Name) -> [RegisterField] = { _ in [] },
        _ name: (Name) -> String = { String(describing: $0) }
    ) -> [RegisterName] {
        let writeOnly = writable.filter { $0.access == .writeOnly }
        return (readable + writeOnly).map { register in
            RegisterName(
                name: name(register.name), bar: bar, offset: base + register.offset, width: register.width.rawValue,
                isReadable: register.access != .writeOnly, isWritable: register.access != .readOnly,
                fields: fields(register.name))
        }
    }
}
