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

    @Test func onlyAnEventFDIsAdopted() throws {
        let event = try EventFD()
        #expect(try EventFD(adopting: event.descriptor.duplicate()).signal())
        let file = try MemoryFile(name: "no eventfd", size: 4096)
        #expect(throws: Errno.invalidArgument) { try EventFD(adopting: file.descriptor.duplicate()) }
        // What it is can't be told.
        #expect(throws: Errno.noSuchFileOrDirectory) { try EventFD(adopting: Descriptor(owning: -1)) }
    }
}
