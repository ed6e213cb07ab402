import PCI

/// PCI's configuration mechanism #1: an address at port 0xcf8, the data at 0xcfc to 0xcff. PCI Local Bus Specification
/// 3.0, section 3.2.2.3.2.
struct PCIBus {
    static let addressPort: UInt16 = 0xcf8
    static let ports = 0xcf8...0xcff as ClosedRange<UInt16>
    /// Devices on bus 0. Functions other than 0 don't exist.
    static let slots = 32

    private(set) var devices = [(any AttachedDevice)?](repeating: nil, count: slots)
    private var address: UInt32 = 0

    /// - Returns: false when the slot is taken.
    mutating func insert(_ device: any AttachedDevice, slot: Int) -> Bool {
        guard devices[slot] == nil else { return false }
        devices[slot] = device
        return true
    }

    /// The device and the register that the address names; nil where there is none.
    private func target(_ port: UInt16) -> (any AttachedDevice, UInt64)? {
        // Bit 31 enables; then reserved bits, bus 0, slot, function 0, register.
        guard address & 0x8000_0000 != 0, address >> 16 & 0xff == 0, address >> 8 & 7 == 0,
            let device = devices[Int(address >> 11 & 31)]
        else { return nil }
        return (device, UInt64(address & 0xfc) + UInt64(port & 3))
    }

    /// - Returns: all ones where there is no device.
    func read(_ port: UInt16, width: Int) -> UInt64 {
        if port == Self.addressPort, width == 4 { return UInt64(address) }
        guard port >= 0xcfc, let (device, register) = target(port) else { return .max }
        return device.readConfiguration(at: register, width: width)
    }

    mutating func write(_ port: UInt16, width: Int, value: UInt64) {
        if port == Self.addressPort, width == 4 {
            address = UInt32(truncatingIfNeeded: value)
        } else if port >= 0xcfc, let (device, register) = target(port) {
            device.writeConfiguration(at: register, width: width, value: value)
        }
    }

    // MARK: BARs

    /// - Returns: all ones where no BAR is.
    func read(_ address: UInt64, width: Int, in space: BARPlacement.Space) -> UInt64 {
        for case let device? in devices {
            if let (bar, offset) = device.decode(address, width: width, in: space) {
                return device.readBAR(bar, at: offset, width: width)
            }
        }
        return .max
    }

    func write(_ address: UInt64, width: Int, value: UInt64, in space: BARPlacement.Space) {
        for case let device? in devices {
            if let (bar, offset) = device.decode(address, width: width, in: space) {
                return device.writeBAR(bar, at: offset, width: width, value: value)
            }
        }
    }
}
