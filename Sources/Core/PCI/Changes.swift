extension ConfigurationSpace {
    /// What a write to configuration space changed, for the shell to act on.
    public struct Changes: OptionSet, Sendable {
        public let rawValue: UInt8

        public init(rawValue: UInt8) {
            self.rawValue = rawValue
        }

        /// The command register: memory or I/O decoding, bus mastering, INTx disable, error reporting.
        public static let command = Changes(rawValue: 1 << 0)
        /// A base address register or the expansion ROM's, its enable bit included.
        public static let bars = Changes(rawValue: 1 << 1)
        /// MSI: enable, number of vectors, message, or mask bits.
        public static let msi = Changes(rawValue: 1 << 2)
        /// MSI-X: enable or function mask.
        public static let msix = Changes(rawValue: 1 << 3)
        /// D0 or D3hot. Decoding and bus mastering come and go with it. Back in D0 the function is due a reset, which
        /// is the shell's to do, as for ``functionLevelReset``.
        public static let powerState = Changes(rawValue: 1 << 4)
        /// The guest asks for a function-level reset. Nothing is reset yet: the shell calls
        /// ``ConfigurationSpace/reset()`` when the device behind it is reset as well.
        public static let functionLevelReset = Changes(rawValue: 1 << 5)
    }
}
