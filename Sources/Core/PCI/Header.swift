/// The type-0 configuration header, bytes 0x00 to 0x3f.
/// PCI Local Bus Specification 3.0, section 6.1, figure 6-1.
enum Header {
    static let command = 0x04
    static let status = 0x06
    static let baseAddress = 0x10
    static let expansionROM = 0x30

    static func registers(
        identity: PCIIdentity, bars: [BARLayout], romSize: UInt64, interruptPin: InterruptPin?,
        hasCapabilities: Bool, isExpress: Bool
    ) -> [ConfigurationSpace.Register] {
        // A function without addresses in a space has nothing to switch on there.
        var command: ConfigurationSpace.Command = [.busMaster, .parityErrorResponse, .systemErrorEnable, .intxDisable]
        if bars.contains(where: { $0.space == .io }) { command.insert(.io) }
        if romSize != 0 || bars.contains(where: { $0.space != .io }) { command.insert(.memory) }
        let status: ConfigurationSpace.Status = hasCapabilities ? .capabilitiesList : []
        // PCI Express has no latency timer: the register is hardwired to zero there. On conventional PCI the low
        // three bits may be, which makes the timer count in steps of eight clocks.
        let latencyTimer: UInt32 = isExpress ? 0 : 0xf8

        return [
            .init("Vendor ID", at: 0x00, .word, reset: UInt32(identity.vendor)),
            .init("Device ID", at: 0x02, .word, reset: UInt32(identity.device)),
            .init("Command", at: Self.command, .word, writable: UInt32(command.rawValue), changes: .command),
            .init(
                "Status", at: Self.status, .word, reset: UInt32(status.rawValue),
                clearable: UInt32(ConfigurationSpace.Status.errors.rawValue),
                driven: UInt32(ConfigurationSpace.Status.interrupt.rawValue)),
            .init("Revision ID", at: 0x08, .byte, reset: UInt32(identity.revision)),
            .init("Programming Interface", at: 0x09, .byte, reset: UInt32(identity.classCode.interface)),
            .init("Sub-Class Code", at: 0x0a, .byte, reset: UInt32(identity.classCode.sub)),
            .init("Base Class Code", at: 0x0b, .byte, reset: UInt32(identity.classCode.base)),
            .init("Cache Line Size", at: 0x0c, .byte, writable: 0xff),
            .init("Latency Timer", at: 0x0d, .byte, writable: latencyTimer),
            .init("Header Type", at: 0x0e, .byte),
            .init("BIST", at: 0x0f, .byte),
        ] + BaseAddress.registers(bars) + [
            .init("Cardbus CIS Pointer", at: 0x28, .dword),
            .init("Subsystem Vendor ID", at: 0x2c, .word, reset: UInt32(identity.subsystemVendor)),
            .init("Subsystem ID", at: 0x2e, .word, reset: UInt32(identity.subsystem)),
            BaseAddress.romRegister(size: romSize),
            .init(
                "Capabilities Pointer", at: 0x34, .byte,
                reset: hasCapabilities ? UInt32(CapabilityList.start) : 0),
            // Firmware's note to the operating system; the function itself never looks at it.
            .init("Interrupt Line", at: 0x3c, .byte, writable: 0xff),
            .init("Interrupt Pin", at: 0x3d, .byte, reset: UInt32(interruptPin?.rawValue ?? 0)),
            .init("Min_Gnt", at: 0x3e, .byte),
            .init("Max_Lat", at: 0x3f, .byte),
        ]
    }
}

extension ConfigurationSpace {
    /// The registers of the header, which every function has: their names and places.
    public static let headerRegisters = Header.registers(
        identity: PCIIdentity(vendor: 0, device: 0, class: .unclassified), bars: [], romSize: 0, interruptPin: nil,
        hasCapabilities: false, isExpress: false)

    /// The command register, 0x04. PCI Local Bus Specification 3.0, section 6.2.2.
    public struct Command: OptionSet, Sendable {
        public let rawValue: UInt16

        public init(rawValue: UInt16) {
            self.rawValue = rawValue
        }

        /// Respond to accesses in I/O space.
        public static let io = Command(rawValue: 1 << 0)
        /// Respond to accesses in memory space.
        public static let memory = Command(rawValue: 1 << 1)
        /// May read and write memory, and send message-signalled interrupts.
        public static let busMaster = Command(rawValue: 1 << 2)
        public static let parityErrorResponse = Command(rawValue: 1 << 6)
        /// SERR# enable.
        public static let systemErrorEnable = Command(rawValue: 1 << 8)
        /// Keep the pin deasserted.
        public static let intxDisable = Command(rawValue: 1 << 10)
    }

    /// The status register, 0x06. PCI Local Bus Specification 3.0, section 6.2.3.
    public struct Status: OptionSet, Sendable {
        public let rawValue: UInt16

        public init(rawValue: UInt16) {
            self.rawValue = rawValue
        }

        /// The function wants its pin asserted, whether INTx is disabled or not.
        public static let interrupt = Status(rawValue: 1 << 3)
        public static let capabilitiesList = Status(rawValue: 1 << 4)
        public static let masterDataParityError = Status(rawValue: 1 << 8)
        public static let signaledTargetAbort = Status(rawValue: 1 << 11)
        public static let receivedTargetAbort = Status(rawValue: 1 << 12)
        /// Nobody answered an access of the function's.
        public static let receivedMasterAbort = Status(rawValue: 1 << 13)
        public static let signaledSystemError = Status(rawValue: 1 << 14)
        public static let detectedParityError = Status(rawValue: 1 << 15)

        /// The bits that stay set until the guest writes ones to them.
        public static let errors: Status = [
            .masterDataParityError, .signaledTargetAbort, .receivedTargetAbort, .receivedMasterAbort,
            .signaledSystemError, .detectedParityError,
        ]
    }
}

extension ConfigurationSpace {
    public var command: Command { Command(rawValue: load(Header.command, as: UInt16.self)) }
    public var status: Status { Status(rawValue: load(Header.status, as: UInt16.self)) }

    /// Whether the function may read and write memory and send messages. Never in D3hot.
    public var isBusMaster: Bool { command.contains(.busMaster) && powerState == .d0 }
    /// Whether the memory BARs and the expansion ROM are decoded. Never in D3hot.
    public var decodesMemory: Bool { command.contains(.memory) && powerState == .d0 }
    /// Whether the I/O BARs are decoded. Never in D3hot.
    public var decodesIO: Bool { command.contains(.io) && powerState == .d0 }

    /// Sets the interrupt status bit to the level that the function wants its pin to have.
    public mutating func setInterruptStatus(_ asserted: Bool) {
        let bit = Status.interrupt
        drive(Header.status, mask: UInt32(bit.rawValue), to: asserted ? UInt32(bit.rawValue) : 0)
    }

    /// Notes errors in the status register until the guest clears them. Bits that aren't
    /// ``Status/errors`` are ignored.
    public mutating func report(_ errors: Status) {
        let bits = UInt32(errors.intersection(.errors).rawValue)
        drive(Header.status, mask: bits, to: bits)
    }
}
