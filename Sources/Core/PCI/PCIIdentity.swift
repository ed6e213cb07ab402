/// Who a PCI function says it is: the identification registers of its configuration header.
/// PCI Local Bus Specification 3.0, section 6.2.1.
public struct PCIIdentity: Equatable, Sendable {
    /// Vendor ID, register 0x00.
    public var vendor: UInt16
    /// Device ID, register 0x02.
    public var device: UInt16
    /// Class code, registers 0x09 to 0x0b.
    public var classCode: PCIClass
    /// Revision ID, register 0x08.
    public var revision: UInt8
    /// Subsystem vendor ID, register 0x2c.
    public var subsystemVendor: UInt16
    /// Subsystem ID, register 0x2e.
    public var subsystem: UInt16

    /// The subsystem's identity is the function's own unless given.
    public init(
        vendor: UInt16, device: UInt16, class classCode: PCIClass, revision: UInt8 = 0,
        subsystemVendor: UInt16? = nil, subsystem: UInt16? = nil
    ) {
        self.vendor = vendor
        self.device = device
        self.classCode = classCode
        self.revision = revision
        self.subsystemVendor = subsystemVendor ?? vendor
        self.subsystem = subsystem ?? device
    }
}

/// What a function does: base class, subclass and programming interface.
/// PCI Code and ID Assignment Specification, section 1.
public struct PCIClass: Equatable, Sendable {
    public var base: UInt8
    public var sub: UInt8
    public var interface: UInt8

    public init(base: UInt8, sub: UInt8, interface: UInt8 = 0) {
        self.base = base
        self.sub = sub
        self.interface = interface
    }

    /// Display controller that is not VGA-compatible.
    public static let displayOther = PCIClass(base: 0x03, sub: 0x80)
    /// Serial controller, compatible with the 16550.
    public static let serial16550 = PCIClass(base: 0x07, sub: 0x00, interface: 0x02)
    /// A function that fits no other class.
    public static let unclassified = PCIClass(base: 0xff, sub: 0x00)
}

/// The pin by which a function raises its level-triggered interrupt, register 0x3d.
public enum InterruptPin: UInt8, Sendable {
    case a = 1
    case b, c, d
}
