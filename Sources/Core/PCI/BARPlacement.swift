/// Where the guest has put a BAR: in the space that the BAR decodes, which the guest has switched on.
/// PCI Local Bus Specification 3.0, section 6.2.5.1.
public struct BARPlacement: Equatable, Sendable {
    /// What the bus tells apart.
    public enum Space: Sendable {
        case io, memory
    }

    public var space: Space
    /// Of the BAR's first byte.
    public var address: UInt64

    public init(_ space: Space, at address: UInt64) {
        self.space = space
        self.address = address
    }

    /// - Returns: nil for an address where no guest has put a BAR of `size` bytes: at 0, where BARs are after a reset,
    ///   and where the address space has no room for it.
    public init?(_ space: Space, at address: UInt64, holding size: UInt64) {
        guard address != 0, size > 0, size - 1 <= UInt64.max - address else { return nil }
        self.init(space, at: address)
    }
}

extension ConfigurationSpace {
    /// Where a BAR is decoded now.
    ///
    /// - Parameter index: 0 to 5, the BAR's first register.
    /// - Returns: nil while it is decoded nowhere: the guest hasn't placed it, hasn't switched its space on, or the
    ///   function is in D3hot.
    public func placement(ofBAR index: Int) -> BARPlacement? {
        guard let bar = bars.first(where: { $0.index == index }), bar.space == .io ? decodesIO : decodesMemory else {
            return nil
        }
        let register = Header.baseAddress + 4 * index
        let value = bar.space == .memory64 ? load(register, as: UInt64.self) : UInt64(load(register, as: UInt32.self))
        return BARPlacement(bar.space == .io ? .io : .memory, at: value & bar.addressMask, holding: bar.size)
    }

    /// Where the expansion ROM is decoded now; nil while nowhere, as for a BAR, or while its own enable bit is off.
    public var placementOfROM: BARPlacement? {
        let value = UInt64(load(Header.expansionROM, as: UInt32.self))
        guard romSize > 0, decodesMemory, value & UInt64(BaseAddress.romEnable) != 0 else { return nil }
        return BARPlacement(.memory, at: value & ~(romSize - 1), holding: romSize)
    }
}
