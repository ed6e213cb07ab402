import CLinux
import Glibc
import Linux
import Testing

@Suite struct EventFDTests {
    @Test func signalsAddUpUntilTheyAreConsumed() throws {
        let event = try EventFD()
        #expect(event.consume() == 0)
        #expect(event.signal() && event.signal())
        #expect(event.consume() == 2)
        #expect(event.consume() == 0)
    }

    /// Whoever shares an eventfd may make it block, and read it first.
    @Test func consumingNeverBlocksThoughAnotherReadsFirst() throws {
        let event = try EventFD()
        try event.descriptor.setNonblocking(false)
        #expect(event.consume() == 0)
        let rounds = 100_000
        let taken = try EventFD()
        let other = try Thread(name: "other") {
            for _ in 0..<rounds where event.consume() > 0 { taken.signal() }
        }
        var count: UInt64 = 0
        for _ in 0..<rounds {
            event.signal()
            if event.consume() > 0 { count += 1 }
        }
        other.join()
        #expect(count + taken.consume() == UInt64(rounds))
    }

    /// The write itself, when nothing has told that there is no room.
    @Test(
        .disabled(if: clinux_has_thread_sanitizer() != 0, "ThreadSanitizer holds the signal back that ends the write."))
    func aWriteThatBlocksIsGivenUp() throws {
        let event = try EventFD()
        try event.descriptor.setNonblocking(false)
        for round in 0..<3 {
            var full = UInt64.max - 1
            #expect(clinux_write_briefly(event.descriptor.raw, &full, 8) == 8, "round \(round)")
            #expect(clinux_write_briefly(event.descriptor.raw, &full, 8) == -Int(EINTR))
            event.consume()
        }
    }

    /// Another's eventfd is given up then, our own go on.
    @Test(arguments: [(true, 8), (false, -Int(EAGAIN))])
    func withNoTimerToBeHadOnlyWhatCannotBlockIsWritten(isNonblocking: Bool, outcome: Int) throws {
        let event = try EventFD()
        try event.descriptor.setNonblocking(isNonblocking)
        let raw = event.descriptor.raw
        let result = try EventFD()
        // A thread that has no timer yet, of a process in which nobody else needs one.
        let thread = try Thread(name: "no timer") {
            let child = clinux_fork()
            guard child != 0 else {
                var none = rlimit(rlim_cur: 0, rlim_max: 0)
                setrlimit(Int32(__RLIMIT_SIGPENDING.rawValue), &none)
                var one: UInt64 = 1
                _exit(clinux_write_briefly(raw, &one, 8) == outcome ? 0 : 1)
            }
            var status: Int32 = -1
            waitpid(child, &status, 0)
            if status == 0 { result.signal() }
        }
        thread.join()
        #expect(result.consume() == 1)
        #expect(event.consume() == (isNonblocking ? 1 : 0))
    }

    @Test func onlyAnEventFDIsAdopted() throws {
        let event = try EventFD()
        #expect(try EventFD(adopting: event.descriptor.duplicate()).signal())
        let file = try MemoryFile(name: "no eventfd", size: 4096)
        #expect(throws: Errno.invalidArgument) { try EventFD(adopting: file.descriptor.duplicate()) }
        // What it is can't be told.
        #expect(throws: Errno.noSuchFileOrDirectory) { try EventFD(adopting: Descriptor(owning: -1)) }
    }
}
