import Glibc
import Linux

/// Kills a process that has written into its BAR while a virtual processor waits for it.
private func leaveWaiting(_ program: String, _ domain: TestDomain, _ options: [String]) throws {
    let (processor, memory) = (domain.processor, 0x30_0000 as UInt64)
    let served = try ServedProgram(program, "exerciser", in: domain.number, options)
    let exerciser = try Exerciser(processor)
    try domain.store([UInt8](repeating: 0x77, count: 64), at: memory)
    try processor.move(from: UInt32(memory), to: exerciser.bytes, width: 4, count: 16)
    try exerciser.write(.scratch, 0x5eed)
    served.signal(SIGSTOP)
    try processor.beginReading(exerciser.registers + Exerciser.Register.scratch.rawValue)
    served.signal(SIGKILL)
    _ = served.awaitEnd()
}

/// The next process in the slot is another vGPU's.
func replace(_ program: String, _ domain: TestDomain) throws {
    let processor = domain.processor
    let (a, b) = (["--identity", "a"], ["--identity", "b"])
    for (first, second) in [(a, b), (a, []), ([], b)] {
        try leaveWaiting(program, domain, first)
        let next = try ServedProgram(program, "exerciser", in: domain.number, second)
        try expect(processor.finishReading(), 0xffff_ffff, "what the processor has waited for")
        let exerciser = try Exerciser(processor)
        try expect(exerciser.read(.scratch), 0, "a register of the other one's")
        try expect(processor.read(exerciser.bytes + 8), 0, "what the other one had behind its BAR")
        next.signal(SIGTERM)
        try expect(next.awaitEnd(), 0, "the program's status")
    }
}

/// No other process comes.
func release(_ program: String, _ domain: TestDomain) throws {
    let processor = domain.processor
    try leaveWaiting(program, domain, ["--identity", "a"])
    let words = ["--release-slot", "--xen", "\(domain.number)", "--slot", "\(Slot.address)", "--sandbox"]
    let releasing = try ServedProgram(running: program, words, awaiting: "Gave up")
    try expect(releasing.awaitEnd(), 0, "the status")
    try expect(processor.finishReading(), 0xffff_ffff, "what the processor has waited for")
    try expect(processor.readConfiguration(0), .max, "a slot with nothing in it")
    let again = try ServedProgram(running: program, words, awaiting: "Nothing was left")
    try expect(again.awaitEnd(), 0, "the status where nothing is left")
    let served = try ServedProgram(program, "exerciser", in: domain.number)
    let refused = try ServedProgram(running: program, words, awaiting: "which another process serves")
    try expect(exitStatus(refused.awaitEnd()), 73, "the status where a process serves")
    let exerciser = try Exerciser(processor)
    try expect(processor.read(exerciser.bytes + 8), 0, "what the killed one had behind its BAR")
    served.signal(SIGTERM)
    try expect(served.awaitEnd(), 0, "the program's status")
    try expect(served.said.contains("mem-max"), false, "that memory was missing: \(served.said)")
}

/// A process of two functions waits for the state of the first one.
func restrict(_ program: String, _ domain: TestDomain) throws {
    let folder = ServedProgram.makeFolder(of: domain.number)
    let state = folder + "/fifo"
    mkfifo(state, 0o600)
    func place(_ slot: String) -> [String] {
        ["exerciser", "--xen", "\(domain.number)", "--slot", slot, "--control", "\(folder)/\(slot)"]
    }
    let starting = try ServedProgram(
        running: program, place("00:0a.0") + ["--restore", state] + place("00:0b.0"), awaiting: nil)
    // The other end of it is opened when the process begins to read the state.
    let writer = Descriptor(owning: open(state, O_WRONLY | O_CLOEXEC))
    let privcmds = (0..<64).filter { number in
        var target = [CChar](repeating: 0, count: 64)
        let size = readlink("/proc/\(starting.process)/fd/\(number)", &target, 64)
        return size > 0
            && String(decoding: target.prefix(size).map { UInt8(bitPattern: $0) }, as: UTF8.self) == "/dev/xen/privcmd"
    }
    try expect(privcmds.count, 2, "descriptors of privcmd, one for each function")
    starting.signal(SIGKILL)
    _ = starting.awaitEnd()
    _ = consume writer
}
