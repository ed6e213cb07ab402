import Glibc
import Linux

/// Confines itself as a device process does, tries the one thing that its argument names, and says what came of it:
/// `done`, `done NUMBER` or `error ERRNO` on standard output. A signal ends it instead where the sandbox does.
@main
enum SandboxProbe {
    static func main() {
        let words = CommandLine.arguments
        guard words.count == 2 else { exit(64) }
        do {
            if let attempt = Unconfined.attempts[words[1]] {
                report { () throws(Errno) in try attempt() }
            } else if let prepare = Confined.attempts[words[1]] {
                // What is to be there before, as a device's sockets are, is made before.
                let attempt = try prepare()
                _ = try Sandbox.confine(limits: ResourceLimit.ofDevice(memory: 64 << 20)) { () throws(Errno) in }
                report(attempt)
            } else if let attempt = BetweenTheTwo.attempts[words[1]] {
                try attempt(report)
            } else {
                exit(64)
            }
        } catch {
            StandardError.print("SandboxProbe: \(error)")
            exit(70)
        }
    }

    /// What an attempt came to.
    typealias Attempt = () throws(Errno) -> Int?

    private static func report(_ attempt: Attempt) {
        let line: String
        do throws(Errno) {
            line = try attempt().map { "done \($0)" } ?? "done"
        } catch {
            line = "error \(error.rawValue)"
        }
        var text = line + "\n"
        text.withUTF8 { _ = write(STDOUT_FILENO, $0.baseAddress, $0.count) }
    }
}
