/// A 16550A: the registers of one serial port and what they do, apart from PCI and from any line.
/// National Semiconductor PC16550D data sheet, section 8.
///
/// Sending and receiving take no time. So the transmitter's FIFO is full only while the line holds it up,
/// and the receiver's character timeout, four characters long on a wire, has always passed already.
struct UART {
    var interruptEnable: InterruptEnable = []
    var fifoControl: FIFOControl = []
    var lineControl: LineControl = []
    var modemControl: ModemControl = []
    /// What the line status register shows until it is read.
    var lineErrors: LineStatus = []
    /// What the modem status register shows: inputs now, changes until it is read.
    var modemStatus: ModemStatus = []
    var scratch: UInt8 = 0
    /// The clock over 16 times the bit rate. It changes nothing; drivers read it back.
    var divisor: UInt16 = 12
    var receiver = FIFO()
    var transmitter = FIFO()
    /// The transmitter has become empty, and the driver has not been told.
    var transmitterEmptied = false
    /// The modem inputs as the line drives them; loopback disconnects them.
    var cable: ModemStatus = []

    /// How many characters each FIFO holds; with the FIFOs off there is one register each.
    var capacity: Int { fifoControl.contains(.enable) ? FIFO.depth : 1 }

    var isLoopedBack: Bool { modemControl.contains(.loopback) }

    // MARK: Interrupts

    /// The most urgent of the causes that are enabled.
    var interruptCause: InterruptCause {
        if interruptEnable.contains(.lineStatus), !lineErrors.isEmpty { return .lineStatus }
        if interruptEnable.contains(.receivedData), !receiver.isEmpty {
            return receiver.count >= fifoControl.triggerLevel ? .receivedData : .characterTimeout
        }
        if interruptEnable.contains(.transmitterHoldingEmpty), transmitterEmptied { return .transmitterHoldingEmpty }
        if interruptEnable.contains(.modemStatus), !modemStatus.isDisjoint(with: .deltas) { return .modemStatus }
        return .none
    }

    /// The level of the interrupt pin.
    var assertsInterrupt: Bool { interruptCause != .none && modemControl.contains(.out2) }

    // MARK: Registers

    mutating func read(_ register: Register) -> UInt8 {
        switch register {
        case .receiverBuffer: takeCharacter()
        case .interruptEnable: interruptEnable.rawValue
        case .interruptIdentification: identifyInterrupt()
        case .lineControl: lineControl.rawValue
        case .modemControl: modemControl.rawValue
        case .lineStatus: takeLineStatus().rawValue
        case .modemStatus: takeModemStatus().rawValue
        case .scratch: scratch
        case .divisorLow: UInt8(truncatingIfNeeded: divisor)
        case .divisorHigh: UInt8(truncatingIfNeeded: divisor >> 8)
        case .transmitterHolding, .fifoControl: 0
        }
    }

    mutating func write(_ register: Register, _ value: UInt8) {
        switch register {
        case .transmitterHolding: giveCharacter(value)
        case .interruptEnable: enableInterrupts(InterruptEnable(rawValue: value).intersection(.all))
        case .fifoControl: controlFIFOs(FIFOControl(rawValue: value))
        case .lineControl: controlLine(LineControl(rawValue: value))
        case .modemControl: controlModem(ModemControl(rawValue: value).intersection(.all))
        case .scratch: scratch = value
        case .divisorLow: divisor = divisor & 0xff00 | UInt16(value)
        case .divisorHigh: divisor = divisor & 0x00ff | UInt16(value) << 8
        case .receiverBuffer, .interruptIdentification, .lineStatus, .modemStatus: break
        }
    }

    private mutating func takeCharacter() -> UInt8 {
        guard !receiver.isEmpty else { return 0 }
        defer {
            receiver.removeFirst()
            showBreak()
        }
        return receiver[0]
    }

    private mutating func giveCharacter(_ character: UInt8) {
        transmitterEmptied = false
        // A driver that writes without waiting for room loses the character, as on the chip.
        if transmitter.count < capacity { transmitter.append(character) }
    }

    /// Enabling the interrupt of an empty transmitter raises it: so a driver starts to send.
    private mutating func enableInterrupts(_ enabled: InterruptEnable) {
        let added = enabled.subtracting(interruptEnable)
        interruptEnable = enabled
        if added.contains(.transmitterHoldingEmpty), transmitter.isEmpty { transmitterEmptied = true }
    }

    /// Reading tells the driver of an empty transmitter, if that is what it reads.
    private mutating func identifyInterrupt() -> UInt8 {
        let cause = interruptCause
        if cause == .transmitterHoldingEmpty { transmitterEmptied = false }
        return cause.rawValue | (fifoControl.contains(.enable) ? InterruptCause.fifosEnabled : 0)
    }

    /// Turning the FIFOs on or off clears them; the other bits count only together with enable.
    private mutating func controlFIFOs(_ control: FIFOControl) {
        let toggled = control.contains(.enable) != fifoControl.contains(.enable)
        fifoControl = control.contains(.enable) ? control.intersection(.stored) : []
        if toggled || control.isSuperset(of: [.enable, .clearReceiver]) { receiver.removeAll() }
        if toggled || control.isSuperset(of: [.enable, .clearTransmitter]), !transmitter.isEmpty {
            transmitter.removeAll()
            transmitterEmptied = true
        }
    }

    /// The line cannot carry a break; the receiver hears it only in loopback.
    private mutating func controlLine(_ control: LineControl) {
        let begins = control.contains(.setBreak) && !lineControl.contains(.setBreak)
        lineControl = control
        if begins && isLoopedBack { receive(0, isBreak: true) }
    }

    private mutating func controlModem(_ control: ModemControl) {
        modemControl = control
        updateModemInputs()
    }

    private mutating func takeLineStatus() -> LineStatus {
        var status = lineErrors
        if !receiver.isEmpty { status.insert(.dataReady) }
        if transmitter.isEmpty { status.formUnion([.transmitterHoldingEmpty, .transmitterEmpty]) }
        if receiver.breaks != 0 && fifoControl.contains(.enable) { status.insert(.fifoError) }
        lineErrors = []
        receiver.unmarkFirstBreak()
        return status
    }

    private mutating func takeModemStatus() -> ModemStatus {
        defer { modemStatus.subtract(.deltas) }
        return modemStatus
    }

    // MARK: Modem lines

    /// The inputs as the line drives them now.
    mutating func connect(_ inputs: ModemStatus) {
        cable = inputs
        updateModemInputs()
    }

    /// In loopback the four outputs drive the four inputs.
    private mutating func updateModemInputs() {
        let inputs = isLoopedBack ? modemControl.loopedBack : cable
        let changed = inputs.symmetricDifference(modemStatus.intersection(.inputs))
        if changed.contains(.clearToSend) { modemStatus.insert(.deltaClearToSend) }
        if changed.contains(.dataSetReady) { modemStatus.insert(.deltaDataSetReady) }
        if changed.contains(.ringIndicator), !inputs.contains(.ringIndicator) { modemStatus.insert(.trailingEdgeRing) }
        if changed.contains(.carrierDetect) { modemStatus.insert(.deltaCarrierDetect) }
        modemStatus = modemStatus.subtracting(.inputs).union(inputs)
    }

    // MARK: Characters

    /// Whether the driver is ready for characters from the line. RTS low asks the peer to wait, and
    /// loopback disconnects the line.
    var isListening: Bool { modemControl.contains(.requestToSend) && !isLoopedBack }

    /// Lets `read` put characters from the line into the receiver, if it is empty.
    ///
    /// - Parameter read: given the room and how many characters it may put there, returns how many it did.
    mutating func receive(_ read: (inout MutableRawSpan, _ limit: Int) -> Int) {
        let capacity = capacity
        receiver.fill { room in read(&room, capacity) }
    }

    /// Lets `send` take what is to be sent; it returns how many characters it took.
    mutating func transmit(_ send: (RawSpan) -> Int) {
        guard !transmitter.isEmpty else { return }
        transmitter.removeFirst(transmitter.withBytes(send))
        if transmitter.isEmpty { transmitterEmptied = true }
    }

    /// Sends everything to the own receiver.
    mutating func transmitToReceiver() {
        let sent = transmitter
        transmit { $0.byteCount }
        for index in 0..<sent.count { receive(sent[index]) }
    }

    /// A character too many is lost; with the FIFOs off it is the older one.
    private mutating func receive(_ character: UInt8, isBreak: Bool = false) {
        if receiver.count >= capacity {
            lineErrors.insert(.overrunError)
            if fifoControl.contains(.enable) { return }
            receiver.removeAll()
        }
        receiver.append(character, isBreak: isBreak)
        if receiver.count == 1 { showBreak() }
    }

    /// A break shows in the line status when it is the next character to be read.
    private mutating func showBreak() {
        if receiver.startsWithBreak { lineErrors.insert(.breakInterrupt) }
    }
}

extension ModemControl {
    /// Which inputs these outputs drive in loopback.
    fileprivate var loopedBack: ModemStatus {
        var inputs: ModemStatus = []
        if contains(.requestToSend) { inputs.insert(.clearToSend) }
        if contains(.dataTerminalReady) { inputs.insert(.dataSetReady) }
        if contains(.out1) { inputs.insert(.ringIndicator) }
        if contains(.out2) { inputs.insert(.carrierDetect) }
        return inputs
    }
}
