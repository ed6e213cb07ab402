import Device

extension SerialCard {
    /// The registers and what is in the FIFOs. The peer at the line is none of it: it may be another one
    /// when the card goes on.
    public struct State: Codable, Equatable, Sendable {
        var interruptEnable: UInt8
        var fifoControl: UInt8
        var lineControl: UInt8
        var modemControl: UInt8
        var lineErrors: UInt8
        var modemStatus: UInt8
        var scratch: UInt8
        var divisor: UInt16
        /// Oldest first.
        var received: [UInt8]
        /// Bit n marks character n of ``received`` as a break.
        var breaks: UInt16
        /// Oldest first.
        var unsent: [UInt8]
        var transmitterEmptied: Bool
    }
}

extension SerialCard.State {
    init(_ uart: UART) {
        interruptEnable = uart.interruptEnable.rawValue
        fifoControl = uart.fifoControl.rawValue
        lineControl = uart.lineControl.rawValue
        modemControl = uart.modemControl.rawValue
        lineErrors = uart.lineErrors.rawValue
        modemStatus = uart.modemStatus.rawValue
        scratch = uart.scratch
        divisor = uart.divisor
        received = (0..<uart.receiver.count).map { uart.receiver[$0] }
        breaks = uart.receiver.breaks
        unsent = (0..<uart.transmitter.count).map { uart.transmitter[$0] }
        transmitterEmptied = uart.transmitterEmptied
    }
}

extension UART {
    /// - Throws: ``StateError`` for bits that no register has, and for more characters than fit.
    init(_ state: SerialCard.State) throws(StateError) {
        interruptEnable = try Self.checked(state.interruptEnable, against: .all, "Interrupt enable")
        fifoControl = try Self.checked(state.fifoControl, against: .stored, "FIFO control")
        guard fifoControl.isEmpty || fifoControl.contains(.enable) else {
            throw StateError("FIFO control is \(state.fifoControl), but its bits need bit 0.")
        }
        lineControl = LineControl(rawValue: state.lineControl)
        modemControl = try Self.checked(state.modemControl, against: .all, "Modem control")
        lineErrors = try Self.checked(state.lineErrors, against: .errors, "Line status errors")
        modemStatus = ModemStatus(rawValue: state.modemStatus)
        scratch = state.scratch
        divisor = state.divisor
        transmitterEmptied = state.transmitterEmptied
        for characters in [state.received, state.unsent] where characters.count > capacity {
            throw StateError("A FIFO holds \(characters.count) characters, but at most \(capacity) fit.")
        }
        guard Int(state.breaks) >> state.received.count == 0 else {
            throw StateError("Breaks are marked beyond the \(state.received.count) characters received.")
        }
        for (index, character) in state.received.enumerated() {
            receiver.append(character, isBreak: state.breaks >> UInt16(index) & 1 != 0)
        }
        for character in state.unsent { transmitter.append(character) }
        guard transmitter.isEmpty || !transmitterEmptied else {
            throw StateError("The transmitter has \(transmitter.count) characters and yet became empty.")
        }
    }

    private static func checked<Bits: OptionSet>(
        _ value: UInt8, against allowed: Bits, _ name: String
    ) throws(StateError) -> Bits where Bits.RawValue == UInt8 {
        guard value & ~allowed.rawValue == 0 else {
            throw StateError("\(name) is \(value), but its bits are \(allowed.rawValue).")
        }
        return Bits(rawValue: value)
    }
}
