import Device
import GuestMemory
import Linux
import PCI
import Xen

/// What is tried with functions that this process serves, in domains of their own.
enum FunctionCheck: String, CaseIterable {
    case onePixelIsDamageOfItsPage
    case twoFunctionsGetOn
    case theAddressPortIsAnsweredAmongOurs
    case anotherDomainIsUnharmed
    case memoryThatIsGivenBackUnderAPinIsAnError

    func run(_ kind: TestDomain.Kind) throws {
        switch self {
        case .onePixelIsDamageOfItsPage: try draw(TestDomain(kind, spareMemory: 3 << 20))
        case .twoFunctionsGetOn: try serveTwo(TestDomain(kind))
        case .theAddressPortIsAnsweredAmongOurs: try readAddressPort(kind)
        case .anotherDomainIsUnharmed: try harm(TestDomain(kind), beside: TestDomain(kind))
        case .memoryThatIsGivenBackUnderAPinIsAnError: try giveBackPinned(TestDomain(kind))
        }
    }
}

/// 256 pixels are a line of 1,024 bytes: four lines share a page.
private func draw(_ domain: TestDomain) throws {
    let served = try ServedFunction(
        "bochs-display", ["vram=2M", "resolution=640x480"], in: domain.number, mapsBARs: true)
    let (processor, memory, registers) = (domain.processor, 0xe000_0000 as UInt32, 0xe100_0000 as UInt32)
    try processor.writeConfiguration(0x10, memory)
    try processor.writeConfiguration(0x18, registers)
    try processor.writeConfiguration(0x04, 2, width: 2)
    for (index, value) in [(1, 256), (2, 256), (3, 32), (4, 0x41)] as [(UInt32, UInt32)] {
        try processor.write(registers + 0x500 + 2 * index, value, width: 2)
    }
    func take() throws -> [Rectangle] {
        let found = Locked<[Rectangle]>([])
        try served.perform { function, kept in
            let watch = kept as? DamageWatch ?? function.display?.heads.first?.watchDamage()
            kept = watch
            found.withLock { $0 = watch?.take() ?? [] }
        }
        return found.withLock { $0 }
    }
    try expect(take(), [Rectangle(x: 0, y: 0, width: 256, height: 256)], "at first")
    try expect(take(), [], "with nothing drawn")
    // Xen notes pages from the second look on.
    for (x, y) in [(70, 33), (255, 255), (0, 0)] as [(UInt32, UInt32)] {
        try processor.write(memory + 1024 * y + 4 * x, 0xff_ffff)
        let tile = Rectangle(x: Int(x) / 64 * 64, y: Int(y) / 16 * 16, width: 64, height: 16)
        try expect(take(), [tile], "the pixel at \(x), \(y)")
        try expect(take(), [], "after it")
    }
    try countWrittenPages(served, processor, memory)
    // What is drawn while the BAR is elsewhere is there when it is back.
    try processor.writeConfiguration(0x10, memory + 0x80_0000)
    try processor.write(memory + 0x80_0000, 0x11)
    try processor.writeConfiguration(0x10, memory)
    try processor.write(memory + 1024 * 200, 0x22)
    try expect(
        take(), [Rectangle(x: 0, y: 0, width: 64, height: 16), Rectangle(x: 0, y: 192, width: 64, height: 16)],
        "what was drawn at two places")
    _ = try served.stop()
}

/// The pages that Xen tells, looked at directly.
private func countWrittenPages(_ served: ServedFunction, _ processor: Processor, _ memory: UInt32) throws {
    func pages() throws -> [Int] {
        let found = Locked<[Int]>([])
        try served.perform { function, _ in
            let written = function.region(0)?.memory?.writes?.takeWritten(0..<256 << 10)
            found.withLock { $0 = (0..<64).filter { written?.touches(4096 * $0..<4096 * $0 + 1) ?? true } }
        }
        return found.withLock { $0 }
    }
    _ = try pages()
    try expect(pages(), [], "pages that were written")
    try processor.write(memory + 5 * 4096 + 12, 1)
    try processor.write(memory + 63 * 4096, 1)
    try expect(pages(), [5, 63], "pages that were written")
    try processor.write(memory + 5 * 4096 + 12, 0)
    try processor.write(memory + 63 * 4096, 0)
    _ = try pages()
}

private func serveTwo(_ domain: TestDomain) throws {
    let other = FunctionAddress(bus: 0, device: UInt8(Slot.device) + 1)!
    let one = try ServedFunction("exerciser", in: domain.number, mapsBARs: true)
    let two = try ServedFunction("exerciser", in: domain.number, at: other, mapsBARs: true)
    let first = try Exerciser(domain.processor)
    let second = try Exerciser(domain.processor, device: Slot.device + 1)
    try first.write(.scratch, 1)
    try second.write(.scratch, 2)
    try domain.processor.write(first.bytes, 3)
    try domain.processor.write(second.bytes, 4)
    try expect([first.read(.scratch), second.read(.scratch)], [1, 2], "registers")
    try expect([domain.processor.read(first.bytes), domain.processor.read(second.bytes)], [3, 4], "memory")
    _ = try one.stop()
    try expect(second.read(.scratch), 2, "the second one when the first is gone")
    try expect(domain.processor.read(second.bytes), 4, "its memory")
    _ = try two.stop()
}

/// As Linux looks for a bus: `pci=conf1`.
private func readAddressPort(_ kind: TestDomain.Kind) throws {
    let (port, address) = (0xcf8 as UInt32, 1 << 31 as UInt32)
    let strangers = try TestDomain(kind)
    let served = try ServedFunction("exerciser", in: strangers.number, mapsBARs: false)
    try strangers.processor.output(port, address)
    try expect(strangers.processor.input(port), .max, "the port where it is somebody else's")
    _ = try served.stop()
    let domain = try TestDomain(kind, hasOurs: true)
    let one = try ServedFunction("exerciser", in: domain.number, mapsBARs: false)
    let other = FunctionAddress(bus: 0, device: UInt8(Slot.device) + 1)!
    let two = try ServedFunction("exerciser", in: domain.number, at: other, mapsBARs: false)
    try domain.processor.output(port, address)
    try expect(domain.processor.input(port), address, "the port")
    try expect(domain.processor.readConfiguration(0), 0x11e9_1234, "the first function's identity")
    _ = try two.stop()
    try domain.processor.output(port, address | 0x800)
    try expect(domain.processor.input(port), address | 0x800, "the port when one of two has ended")
    _ = try one.stop()
}

/// A domain moves BARs over each other and everything else, and ends in the midst of it.
private func harm(_ hostile: TestDomain, beside domain: TestDomain) throws {
    let one = try ServedFunction("exerciser", in: hostile.number, mapsBARs: true)
    let two = try ServedFunction("exerciser", in: domain.number, mapsBARs: true)
    _ = try Exerciser(hostile.processor)
    let exerciser = try Exerciser(domain.processor)
    // A string of 4,096 places for BAR 2, at the port of its register.
    let places = (0..<UInt32(4096)).flatMap { index -> [UInt8] in
        let place = 0xc000_0000 + index << 17
        return (0..<4).map { UInt8(truncatingIfNeeded: place >> (8 * $0)) }
    }
    try hostile.store(places, at: 0x40_0000)
    for round in 0..<4 as Range<UInt32> {
        try hostile.processor.writeConfiguration(0x10, 0xe010_0000 + round << 12)
        try hostile.processor.writeConfiguration(0x20, 0xe010_0000)
        // Over its own memory, and over the registers of its local APIC.
        try hostile.processor.writeConfiguration(0x18, round % 2 == 0 ? 0x50_0000 : 0xfee0_0000)
        try hostile.processor.output(0xcf8, 1 << 31 | Slot.device << 11 | 0x18)
        try hostile.processor.output(0xcfc, from: 0x40_0000, width: 4, count: 4096)
        try exerciser.write(.scratch, round)
        try expect(exerciser.read(.scratch), UInt64(round), "a register of the other's")
    }
    hostile.end()
    try Check.dmaCrossesWindowsOfForeignMaps.drive(exerciser, domain)
    try Check.aMappedBARIsMemoryOfTheGuests.drive(exerciser, domain)
    try expect(one.awaitEnd().hadDomain, false, "the domain that has ended")
    let state = try two.stop()
    if let failure = state.failure { throw Failed(failure) }
}

private func giveBackPinned(_ domain: TestDomain) throws {
    let served = try ServedFunction("exerciser", in: domain.number, mapsBARs: false)
    let page: UInt64 = 0x20_0000
    _ = try Exerciser(domain.processor)
    try served.perform { function, kept in
        let pin = try function.host.memory.pin(address: page, size: 8192, access: [.read, .write]) {}
        try pin.write(at: page, from: [1, 2, 3].span.bytes)
        kept = pin
    }
    try domain.giveBack(page)
    try served.perform { _, kept in
        guard let pin = kept as? Pin else { throw Failed("There is no pin.") }
        var found: DMAError?
        do throws(DMAError) { try pin.write(at: page, from: [1].span.bytes) } catch { found = error }
        try expect(found, .fault(address: page), "to write what isn't there")
        try pin.write(at: page + 4096, from: [1].span.bytes)
        kept = nil
    }
    _ = try served.stop()
}
