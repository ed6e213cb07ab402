import PCI

/// A slot in a Xen domain.
public struct DomainSlot: Hashable, Sendable, CustomStringConvertible {
    /// The domain's number.
    public let domain: UInt16
    public let address: FunctionAddress

    /// The numbers of domains that can have device models. DOMID_FIRST_RESERVED is behind the last.
    public static let domains: ClosedRange<UInt16> = 1...0x7fef
    /// The slots that are taken where none is named, in this order: the domain's own device models have the lower ones.
    public static let addresses = (0x10..<0x20).compactMap { FunctionAddress(bus: 0, device: $0) }

    /// - Parameter domain: one of ``domains``. No other is ever there.
    public init(domain: UInt16, address: FunctionAddress) {
        self.domain = domain
        self.address = address
    }

    public var description: String { "slot \(address) of domain \(domain)" }
}
