import Testing

/// A queue whose memory the function may not reach waits. VIRTIO 1.2 has no word on it; PCI has.
@Suite struct BusMasterTests {
    @Test(arguments: RingKind.all)
    func workWaitsUntilTheFunctionIsABusMasterAgain(kind: RingKind) throws {
        let (bench, queue) = try Bench.ready(kind)
        try bench.echo("before", by: queue)
        let command = try bench.driver.configuration(4, .word)
        try bench.driver.setConfiguration(4, .word, command & ~4)
        let source = bench.driver.allocate(Array("waiting".utf8))
        let target = bench.driver.allocate([UInt8](repeating: 0, count: 7))
        queue.add(.readable(source, 7), .writable(target, 7))
        try bench.driver.notify(queue)
        #expect(try bench.collect(1, from: queue) == 0)
        #expect(bench.driver.bytes(at: target, count: 7) == [UInt8](repeating: 0, count: 7))
        #expect(try !bench.driver.needsReset)
        try bench.driver.setConfiguration(4, .word, command | 4)
        #expect(try bench.collect(1, from: queue) == 1, "with no further notification")
        #expect(bench.driver.bytes(at: target, count: 7) == Array("waiting".utf8))
        try bench.echo("after", by: queue)
    }
}
