import PCI

extension UART {
    /// What the bits say, by the data sheet's names. PC16550D data sheet, table II.
    static func fields(_ register: Register) -> [RegisterField] {
        switch register {
        case .interruptEnable: .flags("ERBFI", "ETBEI", "ELSI", "EDSSI")
        case .interruptIdentification:
            [
                .choice(
                    "cause", 0...3,
                    [
                        "modem-status", "none", "transmitter-empty", "reserved(3)", "received-data", "reserved(5)",
                        "line-status", "reserved(7)", "reserved(8)", "reserved(9)", "reserved(10)", "reserved(11)",
                        "character-timeout",
                    ]), .choice("fifos", 6...7, ["off", "reserved(1)", "reserved(2)", "on"]),
            ]
        case .fifoControl:
            .flags("enable", "clear-receiver", "clear-transmitter", "dma-mode") + [
                .choice("trigger", 6...7, ["1", "4", "8", "14"])
            ]
        case .lineControl:
            [.number("bits", 0...1, plus: 5), .choice("stop", 2...2, ["1", "2"])]
                + .flags("PEN", "EPS", "stick-parity", "break", "DLAB", from: 3)
        case .modemControl: .flags("DTR", "RTS", "OUT1", "OUT2", "loop")
        case .lineStatus: .flags("DR", "OE", "PE", "FE", "BI", "THRE", "TEMT", "fifo-error")
        case .modemStatus: .flags("DCTS", "DDSR", "TERI", "DDCD", "CTS", "DSR", "RI", "DCD")
        case .receiverBuffer, .transmitterHolding, .scratch, .divisorLow, .divisorHigh: []
        }
    }
}
