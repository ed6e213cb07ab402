import Control
import Device
import Glibc
import Linux

/// What is tried with processes of mediated-device's, whose path is this program's argument.
enum ProgramCheck: String, CaseIterable {
    case mediatedDeviceServesFromItsSandbox
    case aKilledProcessIsGoneOnWith
    case whatAnotherHasLeftIsGivenUp
    case whatIsLeftIsReleasedWithoutANextProcess
    case noStateIsReadBeforeAllIsRestricted
    case aSlotThatIsServedIsRefused
    case anEndedProcessLeavesItsFramesToTheNext
    case aStayingProcessIsSavedWhenItsDomainHasEnded
    case aProcessServesAsAnotherUser

    func run(_ program: String, _ domain: TestDomain) throws {
        switch self {
        case .mediatedDeviceServesFromItsSandbox: try serve(program, domain)
        case .aKilledProcessIsGoneOnWith: try kill(program, domain)
        case .whatAnotherHasLeftIsGivenUp: try replace(program, domain)
        case .whatIsLeftIsReleasedWithoutANextProcess: try release(program, domain)
        case .noStateIsReadBeforeAllIsRestricted: try restrict(program, domain)
        case .aSlotThatIsServedIsRefused: try contend(program, domain)
        case .anEndedProcessLeavesItsFramesToTheNext: try restart(program, domain)
        case .aStayingProcessIsSavedWhenItsDomainHasEnded: try outlive(program, domain)
        case .aProcessServesAsAnotherUser: try become(program, domain)
        }
    }
}

/// Serves a domain until that ends.
private func serve(_ program: String, _ domain: TestDomain) throws {
    let served = try ServedProgram(program, "exerciser", in: domain.number)
    for check in [Check.registersAnswerAccessesOfEveryWidth, .dmaCrossesWindowsOfForeignMaps, .everyMessageArrives] {
        try check.drive(Exerciser(domain.processor), domain)
    }
    domain.end()
    try served.read(until: "Domain \(domain.number) has ended.")
    try expect(served.awaitEnd(), 0, "the program's status")
    try expect(served.said.contains("Confined"), true, "confinement")
}

func exitStatus(_ status: Int32) -> Int32 { status >> 8 & 0xff }

/// Kills the process while a virtual processor waits for it, and has another go on.
private func kill(_ program: String, _ domain: TestDomain) throws {
    let (processor, memory) = (domain.processor, 0x30_0000 as UInt64)
    let first = try ServedProgram(program, "exerciser", in: domain.number)
    let exerciser = try Exerciser(processor)
    try exerciser.write(.scratch, 0x5eed)
    let old = [UInt8](repeating: 0x11, count: 4096)
    try domain.store(old, at: memory)
    try processor.move(from: UInt32(memory), to: exerciser.bytes, width: 4, count: 1024)
    let state = try ServedProgram.control(of: domain.number).save().bytes()
    // The state has none of this.
    let new = (0..<4096).map { UInt8(truncatingIfNeeded: $0 ^ $0 >> 8) }
    try domain.store(new, at: memory)
    try processor.move(from: UInt32(memory), to: exerciser.bytes, width: 4, count: 1024)
    var moved = exerciser
    moved.registers = 0xe030_0000
    try processor.writeConfiguration(0x10, moved.registers)
    try moved.write(.scratch, 7)

    first.signal(SIGSTOP)
    try processor.beginReading(moved.registers + Exerciser.Register.identification.rawValue)
    first.signal(SIGKILL)
    _ = first.awaitEnd()
    let second = try ServedProgram(program, "exerciser", in: domain.number, state: state)
    // The BAR is where it was when the state was saved, so the address that was asked is nobody's.
    try expect(processor.finishReading(), 0xffff_ffff, "what the processor has waited for")
    try expect(exerciser.read(.scratch), 0x5eed, "a register of the saved state")
    second.signal(SIGSTOP)
    try processor.beginReading(exerciser.registers + Exerciser.Register.scratch.rawValue)
    second.signal(SIGKILL)
    _ = second.awaitEnd()
    let third = try ServedProgram(program, "exerciser", in: domain.number, state: state)
    try expect(processor.finishReading(), 0x5eed, "what the processor has waited for")
    // Both the guest and the device find what was written last.
    try processor.move(from: exerciser.bytes, to: UInt32(memory) + 0x1_0000, width: 4, count: 1024)
    try expect(domain.bytes(at: memory + 0x1_0000, count: 4096) == new, true, "what the guest has behind its BAR")
    try expect(exerciser.run(.store, to: memory + 0x2_0000, count: 4096), 0, "to store")
    try expect(domain.bytes(at: memory + 0x2_0000, count: 4096) == new, true, "what the device has there")
    for check in [Check.aMappedBARIsMemoryOfTheGuests, .everyMessageOfATableArrives, .portsAnswerAccessesOfEveryWidth] {
        try check.drive(Exerciser(processor), domain)
    }
    third.signal(SIGTERM)
    try expect(third.awaitEnd(), 0, "the program's status")
    try expect(third.said.contains("refused"), false, "that something was refused: \(third.said)")
}

private func contend(_ program: String, _ domain: TestDomain) throws {
    let served = try ServedProgram(program, "exerciser", in: domain.number)
    let exerciser = try Exerciser(domain.processor)
    let other = try ServedProgram(
        program, "exerciser", in: domain.number, ["--name", "other"], awaiting: "which another process serves")
    try expect(exitStatus(other.awaitEnd()), 73, "the status of the second one")
    try Check.registersAnswerAccessesOfEveryWidth.drive(exerciser, domain)
    served.signal(SIGTERM)
    try expect(served.awaitEnd(), 0, "the status of the first one")
    // Nothing is left of it.
    try expect(domain.processor.readConfiguration(0), .max, "a slot with nothing in it")
}

/// The domain may have 1 MiB more than its memory, and each process makes 68 KiB of it.
private func restart(_ program: String, _ domain: TestDomain) throws {
    let (processor, memory) = (domain.processor, 0x30_0000 as UInt64)
    for round in 0..<20 {
        let served = try ServedProgram(program, "exerciser", in: domain.number)
        let exerciser = try Exerciser(processor)
        try expect(processor.read(exerciser.bytes + 8), 0, "what was there before, round \(round)")
        try domain.store([UInt8](repeating: 0x77, count: 64), at: memory)
        try processor.move(from: UInt32(memory), to: exerciser.bytes, width: 4, count: 16)
        try expect(exerciser.run(.store, to: memory + 4096, count: 64), 0, "to store")
        try expect(domain.bytes(at: memory + 4096, count: 64), [UInt8](repeating: 0x77, count: 64), "what is behind")
        served.signal(SIGTERM)
        try expect(served.awaitEnd(), 0, "the program's status")
        try expect(served.said.contains("mem-max"), false, "that memory was missing: \(served.said)")
    }
}

/// The domain ends, and its device can be saved as it was then.
private func outlive(_ program: String, _ domain: TestDomain) throws {
    let served = try ServedProgram(program, "exerciser", in: domain.number, ["--stay"])
    let exerciser = try Exerciser(domain.processor)
    let bytes = [UInt8](repeating: 0x3c, count: 256)
    try domain.store(bytes, at: 0x30_0000)
    try domain.processor.move(from: 0x30_0000, to: exerciser.bytes, width: 4, count: 64)
    try expect(exerciser.run(.fill, to: 0x31_0000, count: 16), 0, "to fill")
    let control = try ServedProgram.control(of: domain.number)
    try expect(control.info().clientConnected, true, "a client")
    domain.end()
    try served.read(until: "Domain \(domain.number) has ended.")
    try expect(control.info().clientConnected, false, "a client")
    let kinds = try control.events(within: .seconds(10)).events.map(\.kind)
    try expect(kinds.contains("client-connected") && kinds.contains("client-left"), true, "events: \(kinds)")
    let state = try control.save().bytes()
    try expect(state.indices.contains { state[$0...].starts(with: bytes) }, true, "the memory in the state")
    try expect(domain.isGone, true, "that all of the domain is freed")
    try control.stop()
    try expect(served.awaitEnd(), 0, "the program's status")
}

private func become(_ program: String, _ domain: TestDomain) throws {
    let served = try ServedProgram(program, "exerciser", in: domain.number, ["--uid", "7", "--gid", "8"])
    try expect(served.user, 7, "the user")
    for check in [Check.dmaCrossesWindowsOfForeignMaps, .aMappedBARIsMemoryOfTheGuests] {
        try check.drive(Exerciser(domain.processor), domain)
    }
    served.signal(SIGTERM)
    try expect(served.awaitEnd(), 0, "the program's status")
    try expect(served.said.contains("mem-max"), false, "that memory was missing: \(served.said)")
}
