import Linux
import Xen

/// What is tried in a domain, by name; each in a domain of its own kind.
enum Check: String, CaseIterable {
    case configurationSpaceIsTheFunctions
    case aBARTellsItsSize
    case registersAnswerAccessesOfEveryWidth
    case aMovedBARAnswersAtItsNewPlaceAlone
    case portsAnswerAccessesOfEveryWidth
    case stringsMoveBetweenABARAndMemory
    case stringsMoveBetweenAPortAndMemory
    case dmaCrossesWindowsOfForeignMaps
    case dmaToNothingIsAnErrorOfTheAccess
    case everyMessageArrives
    case everyMessageOfATableArrives
    case aMaskedMessageWaitsForItsUnmasking
    case thePinHasALevel
    case memoryThatIsGivenBackIsNotReadAnyMore
    case aMappedBARIsMemoryOfTheGuests
    case theServerEndsWithTheDomain

    /// What a kind of domain has no controller for isn't tried there.
    func suits(_ kind: TestDomain.Kind) -> Bool { self != .thePinHasALevel || kind == .hvm }

    func run(_ served: ServedFunction, in domain: TestDomain) throws {
        let exerciser = try Exerciser(domain.processor)
        try drive(exerciser, domain)
        switch self {
        case .memoryThatIsGivenBackIsNotReadAnyMore:
            try expect(served.stop().invalidations, 1, "maps that Xen had dropped")
        case .theServerEndsWithTheDomain:
            domain.end()
            try expect(served.awaitEnd().hadDomain, false, "the domain")
        case .aMappedBARIsMemoryOfTheGuests:
            let accesses = try served.stop().accesses
            // Those of configuration space are, at least.
            guard 1..<100 ~= accesses else { throw Failed("\(accesses) accesses were trapped.") }
        default: break
        }
    }

    /// What the domain's processor is told to do.
    func drive(_ exerciser: Exerciser, _ domain: TestDomain) throws {
        switch self {
        case .configurationSpaceIsTheFunctions: try readConfiguration(domain.processor)
        case .aBARTellsItsSize: try size(exerciser)
        case .registersAnswerAccessesOfEveryWidth: try accessRegisters(exerciser)
        case .aMovedBARAnswersAtItsNewPlaceAlone: try move(exerciser)
        case .portsAnswerAccessesOfEveryWidth: try accessPorts(exerciser)
        case .stringsMoveBetweenABARAndMemory: try moveStrings(exerciser, domain)
        case .stringsMoveBetweenAPortAndMemory: try moveStringsByPort(exerciser, domain)
        case .dmaCrossesWindowsOfForeignMaps, .theServerEndsWithTheDomain: try transfer(exerciser, domain)
        case .dmaToNothingIsAnErrorOfTheAccess: try transferNothing(exerciser)
        case .everyMessageArrives: try sendMessages(exerciser)
        case .everyMessageOfATableArrives: try sendTableMessages(exerciser)
        case .aMaskedMessageWaitsForItsUnmasking: try mask(exerciser)
        case .thePinHasALevel: try assertPin(exerciser, domain)
        case .memoryThatIsGivenBackIsNotReadAnyMore: try giveBack(exerciser, domain)
        case .aMappedBARIsMemoryOfTheGuests: try useMemory(exerciser, domain)
        }
    }
}

/// - Throws: ``Failed`` when the two differ.
func expect<Value: Equatable>(_ found: Value, _ wanted: Value, _ what: String) throws {
    guard found != wanted else { return }
    throw Failed("\(what): \(found), expected \(wanted)")
}

// MARK: Configuration space

private func readConfiguration(_ processor: Processor) throws {
    try expect(processor.readConfiguration(0), 0x11e9_1234, "identity")
    try expect(processor.readConfiguration(2, width: 2), 0x11e9, "device")
    try expect(processor.readConfiguration(1, width: 1), 0x12, "upper byte of the vendor")
    try expect(processor.readConfiguration(0, device: Slot.device + 1), .max, "a slot with nothing in it")
}

private func size(_ exerciser: Exerciser) throws {
    try exerciser.processor.writeConfiguration(0x04, 0, width: 2)
    try exerciser.processor.writeConfiguration(0x10, .max)
    try expect(exerciser.processor.readConfiguration(0x10), 0xffff_f000, "BAR 0")
    try exerciser.processor.writeConfiguration(0x14, .max)
    try expect(exerciser.processor.readConfiguration(0x14) & 0xffff, 0xfff1, "BAR 1")
    try exerciser.processor.writeConfiguration(0x18, .max)
    try expect(exerciser.processor.readConfiguration(0x18), 0xfffe_000c, "BAR 2")
}

// MARK: Registers

private func accessRegisters(_ exerciser: Exerciser) throws {
    let (processor, scratch) = (exerciser.processor, exerciser.registers + 8)
    try expect(exerciser.read(.identification), 0x1_11e9, "identification")
    try processor.write(scratch, 0x1234_5678, width: 8)
    try expect(processor.read(scratch, width: 8), 0x1234_5678_1234_5678, "eight bytes")
    try processor.write(scratch + 4, 0xabcd_ef01)
    try expect(processor.read(scratch, width: 8), 0xabcd_ef01_1234_5678, "four bytes of eight")
    try processor.write(scratch + 2, 0x4321, width: 2)
    try processor.write(scratch + 7, 0x99, width: 1)
    try expect(processor.read(scratch, width: 8), 0x99cd_ef01_4321_5678, "two bytes and one")
    try expect(processor.read(scratch + 2, width: 2), 0x4321, "two bytes")
    try expect(processor.read(scratch + 7, width: 1), 0x99, "one byte")
}

private func move(_ exerciser: Exerciser) throws {
    try exerciser.write(.scratch, 0x5eed)
    var moved = exerciser
    moved.registers = 0xe030_0000
    try exerciser.processor.writeConfiguration(0x10, moved.registers)
    try expect(moved.read(.scratch), 0x5eed, "the new place")
    try expect(exerciser.read(.scratch), 0xffff_ffff, "the old place")
    try exerciser.processor.writeConfiguration(0x04, 0, width: 2)
    try expect(moved.read(.scratch), 0xffff_ffff, "with memory space switched off")
}

private func accessPorts(_ exerciser: Exerciser) throws {
    let (processor, scratch) = (exerciser.processor, exerciser.ports + 4)
    try processor.output(scratch, 0x8765_4321)
    try expect(processor.input(scratch), 0x8765_4321, "four bytes")
    try expect(exerciser.read(.scratch), 0x8765_4321, "the register of the other BAR")
    try processor.output(scratch + 1, 0xaa, width: 1)
    try processor.output(scratch + 2, 0xbbcc, width: 2)
    try expect(processor.input(scratch), 0xbbcc_aa21, "a byte and two written")
    try expect(processor.input(scratch + 2, width: 2), 0xbbcc, "two bytes")
    try expect(processor.input(scratch + 3, width: 1), 0xbb, "one byte")
}

// MARK: Strings

private let somewhere: UInt64 = 0x10_0000

private func pattern(_ count: Int, seed: Int = 1) -> [UInt8] {
    (0..<count).map { UInt8(truncatingIfNeeded: ($0 &* 31 &+ seed) ^ ($0 >> 8)) }
}

private func moveStrings(_ exerciser: Exerciser, _ domain: TestDomain) throws {
    let processor = exerciser.processor
    let strings = [(4, 1024, false), (2, 300, false), (1, 77, false), (4, 500, true), (1, 40, true)]
    for (width, count, isDownwards) in strings {
        let size = width * count
        let bytes = pattern(size, seed: count)
        let back = isDownwards ? UInt32(size - width) : 0
        // Across the border of two pages of memory.
        let (from, to) = (UInt32(somewhere) + 0xff0, UInt32(somewhere) + 0x1_0ff4)
        try domain.store(bytes, at: UInt64(from))
        try domain.store([UInt8](repeating: 0, count: size), at: UInt64(to))
        try processor.move(
            from: from + back, to: exerciser.bytes + back, width: width, count: count, isDownwards: isDownwards)
        try processor.move(
            from: exerciser.bytes + back, to: to + back, width: width, count: count, isDownwards: isDownwards)
        try expect(domain.bytes(at: UInt64(to), count: size), bytes, "\(count) times \(width), \(isDownwards)")
    }
}

private func moveStringsByPort(_ exerciser: Exerciser, _ domain: TestDomain) throws {
    let processor = exerciser.processor
    let scratch = exerciser.ports + 4
    try processor.output(scratch, 0x0403_0201)
    try processor.input(scratch, to: UInt32(somewhere), width: 4, count: 5)
    try expect(domain.bytes(at: somewhere, count: 20), (0..<5).flatMap { _ in [1, 2, 3, 4] }, "ins")
    // The last one stays.
    try domain.store(pattern(40), at: somewhere)
    try processor.output(scratch, from: UInt32(somewhere), width: 4, count: 10)
    let last = pattern(40)[36...].reversed().reduce(0) { $0 << 8 | UInt32($1) }
    try expect(processor.input(scratch), last, "outs")
    try processor.output(scratch, from: UInt32(somewhere) + 38, width: 2, count: 20, isDownwards: true)
    let first = UInt32(pattern(40)[0]) | UInt32(pattern(40)[1]) << 8
    try expect(processor.input(scratch, width: 2), first, "outs downwards")
}

/// The device finds what the guest has written there, and it goes along when the BAR moves.
private func useMemory(_ exerciser: Exerciser, _ domain: TestDomain) throws {
    let processor = exerciser.processor
    let bytes = pattern(60_000)
    try domain.store(bytes, at: somewhere)
    try processor.move(from: UInt32(somewhere), to: exerciser.bytes, width: 4, count: bytes.count / 4)
    try expect(exerciser.run(.store, to: 2 * somewhere, count: bytes.count), 0, "to store")
    try expect(domain.bytes(at: 2 * somewhere, count: bytes.count) == bytes, true, "what the device has")
    let moved: UInt32 = 0xd000_0000
    try processor.writeConfiguration(0x18, moved)
    try processor.move(from: moved + 4096, to: 3 * UInt32(somewhere), width: 4, count: bytes.count / 4)
    try expect(domain.bytes(at: 3 * somewhere, count: bytes.count) == bytes, true, "what is at the new place")
    try expect(processor.read(exerciser.bytes), 0xffff_ffff, "the old place")
    try processor.writeConfiguration(0x04, 0, width: 2)
    try expect(processor.read(moved + 4096), 0xffff_ffff, "the new place with memory space switched off")
    try processor.writeConfiguration(0x04, 7, width: 2)
    try expect(
        processor.read(moved + 4096, width: 4),
        UInt64(bytes[3]) << 24 | UInt64(bytes[2]) << 16
            | UInt64(bytes[1]) << 8 | UInt64(bytes[0]), "the new place again")
}

// MARK: DMA

private func transfer(_ exerciser: Exerciser, _ domain: TestDomain) throws {
    // Windows of foreign maps are as long as this.
    let window = UInt64(ForeignWindow.frames) * 4096
    let (from, to) = (5 * window - 4093, 7 * window - 12_345)
    let bytes = pattern(32 << 10)
    try domain.store(bytes, at: from)
    try expect(exerciser.run(.load, from: from, count: bytes.count), 0, "to load")
    try expect(exerciser.run(.store, to: to, count: bytes.count), 0, "to store")
    try expect(domain.bytes(at: to, count: bytes.count) == bytes, true, "what was stored")
    try expect(exerciser.run(.copy, from: to, to: 9 * window - 1, count: 600_000), 0, "to copy")
    try expect(domain.bytes(at: 9 * window - 1, count: bytes.count) == bytes, true, "what was copied")
}

private func transferNothing(_ exerciser: Exerciser) throws {
    let unreachable: UInt64 = 5
    for address in [TestDomain.memorySize, 0x1_0000_0000, 1 << 46] {
        try expect(exerciser.run(.fill, to: address, count: 16), unreachable, "to write to \(address)")
        try expect(exerciser.read(.faultAddress, width: 8), address, "where")
    }
    let across = TestDomain.memorySize - 8
    try expect(exerciser.run(.load, from: across, count: 16), unreachable, "to read across the end of memory")
    try expect(exerciser.read(.faultAddress, width: 8), TestDomain.memorySize, "where")
    try expect(exerciser.run(.fill, to: TestDomain.memorySize - 16, count: 16), 0, "to write to the last bytes")
}

/// The guest gives a page back by itself (XENMEM_decrease_reservation), which the device has just used.
private func giveBack(_ exerciser: Exerciser, _ domain: TestDomain) throws {
    let page: UInt64 = 0x20_0000
    try expect(exerciser.run(.fill, to: page, count: 16), 0, "to write while it is there")
    try domain.giveBack(page)
    try expect(exerciser.run(.fill, to: page, count: 16), 5, "to write when it is gone")
    try expect(exerciser.run(.fill, to: page + 4096, count: 16), 0, "to write behind it")
}

// MARK: Interrupts

private let messages: UInt32 = 250

private func sendMessages(_ exerciser: Exerciser) throws {
    let (processor, msi) = (exerciser.processor, try exerciser.capability(0x05))
    // To the processor with APIC ID 0, vector 0x40.
    try processor.writeConfiguration(msi + 4, 0xfee0_0000)
    let is64Bit = try processor.readConfiguration(msi + 2, width: 2) & 1 << 7 != 0
    try processor.writeConfiguration(msi + (is64Bit ? 12 : 8), 0x40, width: 2)
    try processor.writeConfiguration(msi + 2, 1, width: 2)
    try expect(exerciser.raise(0, times: messages, awaiting: 0), messages, "messages that have come")
}

private func setUpTable(_ exerciser: Exerciser, _ vector: UInt32, data: UInt32, isMasked: Bool = false) throws {
    let entry = exerciser.table + 16 * vector
    for (index, word) in [0xfee0_0000, 0, data, isMasked ? 1 : 0].enumerated() {
        try exerciser.processor.write(entry + 4 * UInt32(index), word)
    }
}

private func sendTableMessages(_ exerciser: Exerciser) throws {
    let (processor, msix) = (exerciser.processor, try exerciser.capability(0x11))
    for vector in 0..<UInt32(2) { try setUpTable(exerciser, vector, data: 0x41 + vector) }
    try processor.writeConfiguration(msix + 2, 1 << 15, width: 2)
    for vector in [0, 1, 0] as [UInt32] {
        let before = try processor.wait(for: 1 + vector, count: 0)
        try expect(
            exerciser.raise(vector, times: messages, awaiting: 1 + vector) - before, messages,
            "messages of vector \(vector)")
    }
}

private func mask(_ exerciser: Exerciser) throws {
    let (processor, msix) = (exerciser.processor, try exerciser.capability(0x11))
    try setUpTable(exerciser, 3, data: 0x44, isMasked: true)
    try processor.writeConfiguration(msix + 2, 1 << 15, width: 2)
    try exerciser.write(.raise, 3)
    try expect(processor.read(exerciser.table + 0x800) & 8, 8, "pending while the vector is masked")
    try expect(processor.wait(for: 4, count: 0), 0, "messages while it is masked")
    try processor.write(exerciser.table + 16 * 3 + 12, 0)
    try expect(processor.wait(for: 4, count: 1), 1, "messages when it is unmasked")
    try expect(processor.read(exerciser.table + 0x800) & 8, 0, "pending afterwards")
}

/// By the I/O APIC, at whose inputs Xen has the pins of devices. The level stays as long as there is a cause, of which
/// the handler takes one away each time.
private func assertPin(_ exerciser: Exerciser, _ domain: TestDomain) throws {
    let processor = exerciser.processor
    // As hvm_pci_intx_gsi says, of pin A.
    let input = 16 + (Slot.device << 2 + Slot.device >> 3) & 31
    func writeController(_ register: UInt32, _ value: UInt32) throws {
        try processor.write(0xfec0_0000, register)
        try processor.write(0xfec0_0010, value)
    }
    let levelTriggered: UInt32 = 1 << 15
    try writeController(0x11 + 2 * input, 0)
    try writeController(0x10 + 2 * input, 0x45 | levelTriggered)
    try domain.setCauses(exerciser.registers + Exerciser.Register.cause.rawValue)
    var count: UInt32 = 0
    for causes in [0b1, 0b1011, 0b100] as [UInt32] {
        try exerciser.write(.setCause, causes)
        count += UInt32(causes.nonzeroBitCount)
        try expect(processor.wait(for: 5, count: count), count, "interrupts")
        try expect(exerciser.read(.cause), 0, "causes that are left")
    }
    // Were the pin still asserted, another one would come before this message of the processor's to itself.
    let (commandRegister, toItself): (UInt32, UInt32) = (0xfee0_0300, 1 << 18)
    try processor.write(commandRegister, 0x40 | toItself)
    try processor.wait(for: 0, count: 1)
    try expect(processor.wait(for: 5, count: 0), count, "interrupts without a cause")
}
