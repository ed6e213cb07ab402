import Device

extension UART {
    /// The registers by their data sheet names. PC16550D data sheet, table II.
    enum Register: CaseIterable {
        /// RBR: takes the oldest character received.
        case receiverBuffer
        /// THR: gives a character to send.
        case transmitterHolding
        /// IER
        case interruptEnable
        /// IIR
        case interruptIdentification
        /// FCR
        case fifoControl
        /// LCR
        case lineControl
        /// MCR
        case modemControl
        /// LSR
        case lineStatus
        /// MSR
        case modemStatus
        /// SCR
        case scratch
        /// DLL
        case divisorLow
        /// DLM
        case divisorHigh
    }

    /// What the eight addresses are while the divisor latch access bit (LCR, bit 7) is 0.
    static let registers = RegisterMap<Register>(
        [
            .init(.receiverBuffer, at: 0, width: .byte, access: .readOnly),
            .init(.transmitterHolding, at: 0, width: .byte, access: .writeOnly),
            .init(.interruptEnable, at: 1, width: .byte),
        ] + commonRegisters)

    /// What they are while it is 1.
    static let divisorRegisters = RegisterMap<Register>(
        [
            .init(.divisorLow, at: 0, width: .byte, reset: 12),
            .init(.divisorHigh, at: 1, width: .byte),
        ] + commonRegisters)

    private static let commonRegisters: [RegisterMap<Register>.Register] = [
        .init(.interruptIdentification, at: 2, width: .byte, access: .readOnly, reset: 0x01),
        .init(.fifoControl, at: 2, width: .byte, access: .writeOnly),
        .init(.lineControl, at: 3, width: .byte),
        .init(.modemControl, at: 4, width: .byte),
        .init(.lineStatus, at: 5, width: .byte, access: .readOnly, reset: 0x60),
        .init(.modemStatus, at: 6, width: .byte, access: .readOnly),
        .init(.scratch, at: 7, width: .byte),
    ]
}

/// Interrupt enable register: which causes may interrupt.
struct InterruptEnable: OptionSet {
    var rawValue: UInt8
    static let receivedData = Self(rawValue: 1 << 0)
    static let transmitterHoldingEmpty = Self(rawValue: 1 << 1)
    static let lineStatus = Self(rawValue: 1 << 2)
    static let modemStatus = Self(rawValue: 1 << 3)
    static let all: Self = [.receivedData, .transmitterHoldingEmpty, .lineStatus, .modemStatus]
}

/// Interrupt identification register: the most urgent cause, by the code in bits 3 to 0.
enum InterruptCause: UInt8 {
    case modemStatus = 0x0
    case none = 0x1
    case transmitterHoldingEmpty = 0x2
    case receivedData = 0x4
    case lineStatus = 0x6
    /// Characters wait, but fewer than the trigger level.
    case characterTimeout = 0xc

    /// Bits 7 and 6 tell that the FIFOs are on.
    static let fifosEnabled: UInt8 = 0xc0
}

/// FIFO control register.
struct FIFOControl: OptionSet {
    var rawValue: UInt8
    static let enable = Self(rawValue: 1 << 0)
    static let clearReceiver = Self(rawValue: 1 << 1)
    static let clearTransmitter = Self(rawValue: 1 << 2)
    /// Changes the RXRDY and TXRDY pins only, which a PCI card has no use for.
    static let dmaMode = Self(rawValue: 1 << 3)
    static let trigger = Self(rawValue: 3 << 6)
    /// What stays; the clear bits do their work and are gone.
    static let stored: Self = [.enable, .dmaMode, .trigger]

    /// How many characters make the received data interrupt.
    var triggerLevel: Int {
        guard contains(.enable) else { return 1 }
        return switch rawValue >> 6 {
        case 0: 1
        case 1: 4
        case 2: 8
        default: 14
        }
    }
}

/// Line control register. The line carries whole bytes, so word length, stop bits and parity have no effect.
struct LineControl: OptionSet {
    var rawValue: UInt8
    static let setBreak = Self(rawValue: 1 << 6)
    static let divisorLatchAccess = Self(rawValue: 1 << 7)
}

/// Modem control register.
struct ModemControl: OptionSet {
    var rawValue: UInt8
    static let dataTerminalReady = Self(rawValue: 1 << 0)
    static let requestToSend = Self(rawValue: 1 << 1)
    static let out1 = Self(rawValue: 1 << 2)
    /// Lets interrupts out of the card, as on every PC since the first.
    static let out2 = Self(rawValue: 1 << 3)
    static let loopback = Self(rawValue: 1 << 4)
    static let all: Self = [.dataTerminalReady, .requestToSend, .out1, .out2, .loopback]
}

/// Line status register.
struct LineStatus: OptionSet {
    var rawValue: UInt8
    static let dataReady = Self(rawValue: 1 << 0)
    static let overrunError = Self(rawValue: 1 << 1)
    static let breakInterrupt = Self(rawValue: 1 << 4)
    static let transmitterHoldingEmpty = Self(rawValue: 1 << 5)
    static let transmitterEmpty = Self(rawValue: 1 << 6)
    /// A break is somewhere in the receiver's FIFO.
    static let fifoError = Self(rawValue: 1 << 7)
    /// What stays until the register is read.
    static let errors: Self = [.overrunError, .breakInterrupt]
}

/// Modem status register: four inputs, and what has changed about them since it was last read.
struct ModemStatus: OptionSet {
    var rawValue: UInt8
    static let deltaClearToSend = Self(rawValue: 1 << 0)
    static let deltaDataSetReady = Self(rawValue: 1 << 1)
    /// Ring indicator has gone from 1 to 0.
    static let trailingEdgeRing = Self(rawValue: 1 << 2)
    static let deltaCarrierDetect = Self(rawValue: 1 << 3)
    static let clearToSend = Self(rawValue: 1 << 4)
    static let dataSetReady = Self(rawValue: 1 << 5)
    static let ringIndicator = Self(rawValue: 1 << 6)
    static let carrierDetect = Self(rawValue: 1 << 7)
    static let deltas: Self = [.deltaClearToSend, .deltaDataSetReady, .trailingEdgeRing, .deltaCarrierDetect]
    static let inputs: Self = [.clearToSend, .dataSetReady, .ringIndicator, .carrierDetect]
}
