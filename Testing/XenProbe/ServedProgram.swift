import Glibc
import Linux

/// A process that serves a domain.
final class ServedProgram {
    /// What it has said so far.
    private(set) var said = ""
    let process: Int32
    private let log: PipeEnds

    /// One of mediated-device's, in its sandbox.
    ///
    /// - Parameter program: its path.
    convenience init(_ program: String, _ type: String, in domain: UInt16) throws {
        try self.init(
            running: program,
            [
                type, "--xen", "\(domain)", "--slot", "\(Slot.address)", "--control", "/run/control-\(domain)",
                "--sandbox",
            ])
    }

    /// - Parameter program: its path. It says that it is `Serving` when it does.
    init(running program: String, _ arguments: [String]) throws {
        log = try PipeEnds(blocks: true)
        process = try ChildProcess.spawn(program, arguments, passing: [], standardError: log.writer.raw)
        try read(until: "Serving")
    }

    /// Reads what it says until some words are there.
    func read(until words: String) throws {
        while !said.contains(words) {
            let ready = try waitReadable([log.reader.raw], within: .seconds(60))
            guard ready.first == true else { throw Failed("The program has said no more than '\(said)'.") }
            said += String(decoding: try log.reader.readOnce(upTo: 4096), as: UTF8.self)
        }
    }

    /// Waits until it has ended.
    ///
    /// - Returns: its status, as `waitpid(2)` tells it.
    func awaitEnd() -> Int32 {
        var status: Int32 = -1
        waitpid(process, &status, 0)
        return status
    }
}

/// Serves a domain by mediated-device, until the domain ends.
func serve(by program: String, _ kind: TestDomain.Kind) throws {
    let domain = try TestDomain(kind)
    let served = try ServedProgram(program, "exerciser", in: domain.number)
    for check in [Check.registersAnswerAccessesOfEveryWidth, .dmaCrossesWindowsOfForeignMaps, .everyMessageArrives] {
        try check.drive(Exerciser(domain.processor), domain)
    }
    domain.end()
    try served.read(until: "Domain \(domain.number) has ended.")
    try expect(served.awaitEnd(), 0, "the program's status")
    try expect(served.said.contains("Confined"), true, "confinement")
}
