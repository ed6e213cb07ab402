extension ConfigurationSpace {
    /// What has to be kept to go on elsewhere: the registers that can change, and of those only the bits that can.
    public struct State: Codable, Equatable, Sendable {
        public struct Value: Codable, Equatable, Sendable {
            /// In bytes from the start of configuration space.
            public var offset: Int
            public var value: UInt32

            public init(offset: Int, value: UInt32) {
                self.offset = offset
                self.value = value
            }
        }

        /// By ascending offset.
        public var registers: [Value]

        public init(registers: [Value]) {
            self.registers = registers
        }
    }

    public var state: State {
        State(
            registers: registers.filter { $0.changeable != 0 }.map { register in
                .init(offset: register.offset, value: value(of: register) & register.changeable)
            })
    }

    /// Goes on from the state of a function that was declared alike.
    ///
    /// - Throws: when the state can't be this function's, which is unchanged then.
    public mutating func restore(_ state: State) throws(ConfigurationError) {
        let changeable = registers.filter { $0.changeable != 0 }
        guard state.registers.map(\.offset) == changeable.map(\.offset) else { throw .stateRegisters }
        for (register, saved) in zip(changeable, state.registers) {
            guard saved.value & ~register.changeable == 0 else {
                throw .stateBits(register: register.name, value: saved.value, allowed: register.changeable)
            }
            if let choice = register.choice, !choice.values.contains(saved.value & choice.mask) {
                throw .stateField(
                    register: register.name, value: saved.value & choice.mask, allowed: choice.values)
            }
        }
        for (register, saved) in zip(changeable, state.registers) {
            drive(register.offset, mask: register.changeable, to: saved.value)
        }
    }

    private func value(of register: Register) -> UInt32 {
        switch register.width {
        case .byte: UInt32(bytes[register.offset])
        case .word: UInt32(load(register.offset, as: UInt16.self))
        case .dword: load(register.offset, as: UInt32.self)
        }
    }
}
