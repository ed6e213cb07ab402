import Glibc

/// Tries the transport on a real Xen: run as root in a domain 0. Says a line for each check, `ok` or `failed`.
///
/// Its argument is mediated-device's path, and names of checks where not all are wanted. With `relay` it is a ``Relay``
/// instead; with `picture` and the path of a device's control socket it writes the device's picture; with `figures` and
/// the paths of mediated-device and XenFloor it measures.
@main
enum XenProbe {
    static func main() throws {
        let arguments = CommandLine.arguments.dropFirst()
        if arguments.first == "relay" { return try Relay(.pvh).run() }
        if arguments.first == "picture", let socket = arguments.last { return try writePicture(of: socket) }
        if arguments.first == "figures", arguments.count == 3 {
            return try measure(CommandLine.arguments[2], against: CommandLine.arguments[3])
        }
        let programs = arguments.filter { $0.hasPrefix("/") }
        let names = arguments.filter { !$0.hasPrefix("/") }
        func attempt(_ kind: TestDomain.Kind, _ check: String, _ run: () throws -> Void) {
            if names.isEmpty || names.contains(check) { Self.attempt("\(kind) \(check)", run) }
        }
        for kind in TestDomain.Kind.allCases {
            for check in Check.allCases where check.suits(kind) {
                attempt(kind, check.rawValue) {
                    let domain = try TestDomain(kind)
                    let served = try ServedFunction(
                        "exerciser", in: domain.number, mapsBARs: check == .aMappedBARIsMemoryOfTheGuests)
                    try check.run(served, in: domain)
                    let state = try served.stop()
                    if let failure = state.failure { throw Failed(failure) }
                    try expect(state.impossible, 0, "impossible requests")
                }
            }
            for check in FunctionCheck.allCases { attempt(kind, check.rawValue) { try check.run(kind) } }
            for program in programs {
                for check in ProgramCheck.allCases {
                    attempt(kind, check.rawValue) { try check.run(program, TestDomain(kind)) }
                }
            }
        }
        say("done")
    }

    private static func attempt(_ name: String, _ check: () throws -> Void) {
        do {
            try check()
            say("ok \(name)")
        } catch {
            say("failed \(name): \(error)")
        }
    }
}

/// Says a line that is there at once, whatever becomes of this program.
func say(_ line: String) {
    print(line)
    fflush(nil)
}
