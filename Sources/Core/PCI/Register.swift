extension ConfigurationSpace {
    /// One register of configuration space, as data: where it stands, what it reads as after reset, and what a
    /// write does to each of its bits. A bit in none of the masks is read-only.
    public struct Register: Equatable, Sendable {
        /// In bytes.
        public enum Width: Int, Sendable {
            case byte = 1
            case word = 2
            case dword = 4
        }

        /// A field that takes only some values. Writing another leaves it as it was.
        public struct Choice: Equatable, Sendable {
            /// The bits of the field, within one byte of the register.
            public var mask: UInt32
            /// What the field may hold, in place.
            public var values: [UInt32]
        }

        /// As the specification writes it.
        public var name: String
        /// In bytes from the start of configuration space.
        public var offset: Int
        public var width: Width
        /// The value after power-on and reset.
        public var reset: UInt32
        /// Bits that take the value written (RW).
        public var writable: UInt32
        /// Bits that a written one clears and a written zero leaves (RW1C).
        public var clearable: UInt32
        /// Read-only bits that the function itself changes, and that are part of its state.
        public var driven: UInt32
        /// Bits that read as zero, and ask for a function-level reset when a one is written.
        public var resetting: UInt32
        /// A field among the writable bits that doesn't take every value.
        public var choice: Choice?
        /// What it means when a bit changes by a write.
        public var changes: Changes

        init(
            _ name: String, at offset: Int, _ width: Width, reset: UInt32 = 0, writable: UInt32 = 0,
            clearable: UInt32 = 0, driven: UInt32 = 0, resetting: UInt32 = 0, choice: Choice? = nil,
            changes: Changes = []
        ) {
            self.name = name
            self.offset = offset
            self.width = width
            self.reset = reset
            self.writable = writable
            self.clearable = clearable
            self.driven = driven
            self.resetting = resetting
            self.choice = choice
            self.changes = changes
        }

        /// The bits that don't always hold the reset value.
        public var changeable: UInt32 { writable | clearable | driven }
    }
}
