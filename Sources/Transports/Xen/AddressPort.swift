/// The register that says which of configuration space the ports behind it lead to. Xen looks after what it says; it is
/// there for systems that look whether it keeps what is written, as Linux does. CONFIG_ADDRESS
public struct AddressPort: Sendable {
    static let ports: ClosedRange<UInt64> = 0xcf8...0xcfb
    private var value: UInt32 = 0

    public init() {}

    /// - Returns: all ones where the access leaves the register.
    func read(_ port: UInt64, width: Int) -> UInt64 {
        guard Self.ports.contains(port), UInt64(width - 1) <= Self.ports.upperBound - port else { return .max }
        return UInt64(value) >> (8 * (port - Self.ports.lowerBound))
    }

    /// It takes four bytes at once, and nothing else.
    mutating func write(_ port: UInt64, width: Int, _ written: UInt64) {
        if port == Self.ports.lowerBound, width == 4 { value = UInt32(truncatingIfNeeded: written) }
    }
}
