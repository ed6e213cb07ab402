import FakeDriver
import FuzzSupport
import Glibc

/// One machine until its renderer is made to end, as it takes a process to make one; libFuzzer has one thread.
private nonisolated(unsafe) var machine: Machine?
private nonisolated(unsafe) var reach = Reach()

private func fuzz(_ start: UnsafePointer<UInt8>?, _ count: Int) {
    do {
        let guest = try machine ?? Machine()
        var input = Input(start, count)
        try guest.run(&input, &reach)
        machine = guest.isSpent ? nil : guest
    } catch {
        fuzzFailed("A driver's register access failed: \(error)")
    }
}

@main
enum Fuzzer {
    static func main() {
        // A run that is long enough must have been everywhere.
        atexit { if !reach.tell(), getenv("FUZZ_REACH") != nil { _exit(1) } }
        runFuzzer { start, count in
            fuzz(start, count)
            return 0
        }
    }
}
