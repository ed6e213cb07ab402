import Glibc

/// Tries the transport on a real Xen: run as root in a domain 0 of Xen 4.17. Says a line for each check, `ok` or
/// `failed`.
@main
enum XenProbe {
    static func main() {
        for kind in TestDomain.Kind.allCases {
            for check in Check.allCases where check.suits(kind) {
                do {
                    let domain = try TestDomain(kind)
                    let served = try ServedFunction("exerciser", in: domain.number)
                    try check.run(served, in: domain)
                    let state = served.stop()
                    if let failure = state.failure { throw Failed(failure) }
                    try expect(state.impossible, 0, "impossible requests")
                    say("ok \(kind) \(check)")
                } catch {
                    say("failed \(kind) \(check): \(error)")
                }
            }
        }
        say("done")
    }
}

/// Says a line that is there at once, whatever becomes of this program.
func say(_ line: String) {
    print(line)
    fflush(nil)
}
