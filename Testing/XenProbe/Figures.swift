import CStepCounter
import CXen
import Glibc
import Linux

/// Measures what one access costs, and says a line for each figure.
///
/// - Parameters:
///   - program: mediated-device's path.
///   - floor: XenFloor's.
func measure(_ program: String, against floor: String) throws {
    let domain = try TestDomain(.pvh)
    let served = try ServedProgram(program, "exerciser", in: domain.number)
    let exerciser = try Exerciser(domain.processor)
    let ours = try countSteps(of: served.process, whenReading: exerciser.registers, of: domain)
    let unclaimed: UInt32 = 0xe800_0000
    let bare = try ServedProgram(
        running: floor, ["\(domain.number)", "\(unclaimed)", "\(unclaimed + 4095)"])
    let least = try countSteps(of: bare.process, whenReading: unclaimed, of: domain)
    say("figure trapped read, user instructions: \(ours.instructions), floor \(least.instructions)")
    say("figure trapped read, system calls: \(ours.calls), floor \(least.calls)")
    // The other one would wait for its domain for ever.
    bare.signal(SIGKILL)
    try compareWrites(exerciser, in: domain)
}

/// What a process executes for one access: the median of many, since its timer falls into some.
private func countSteps(
    of process: Int32, whenReading address: UInt32, of domain: TestDomain
) throws -> (instructions: UInt64, calls: UInt64) {
    let count = 21
    let found = Locked<Result<[csc_turn], Failed>?>(nil)
    let thread = try Thread(name: "steps") {
        var turns = [csc_turn](repeating: csc_turn(), count: count)
        let result = csc_count(process, UInt32(cxen_command_notify), &turns, UInt32(count))
        let outcome: Result<[csc_turn], Failed> =
            result == 0 ? .success(turns) : .failure(Failed("Can't count steps: \(Errno(rawValue: -result))."))
        found.withLock { $0 = outcome }
    }
    // Until it is done: it may not have begun by the first ones.
    while found.withLock({ $0 == nil }) { _ = try domain.processor.read(address) }
    thread.join()
    let turns = try found.withLock { try $0?.get() } ?? []
    return (turns.map(\.instructions).sorted()[count / 2], turns.map(\.calls).sorted()[count / 2])
}

/// The time of writes to the memory behind a BAR, as a multiple of that of writes to the domain's memory: the median
/// over pairs that come one after the other, by the domain's own counter of cycles.
private func compareWrites(_ exerciser: Exerciser, in domain: TestDomain) throws {
    let (words, rounds): (UInt32, UInt32) = (15_000, 100)
    var ratios: [Double] = []
    // The first pair brings the pages into the processor's tables.
    for turn in 0...20 {
        let memory = try domain.processor.time(writing: words, from: 0x10_0000, rounds: rounds)
        let mapped = try domain.processor.time(writing: words, from: exerciser.bytes, rounds: rounds)
        if turn > 0 { ratios.append(Double(mapped) / Double(memory)) }
    }
    ratios.sort()
    func rounded(_ ratio: Double) -> Double { (ratio * 1000).rounded() / 1000 }
    say(
        "figure mapped write, ratio to a write of memory: \(rounded(ratios[10])), "
            + "half of all from \(rounded(ratios[5])) to \(rounded(ratios[15]))")
}
