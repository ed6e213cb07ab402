import Device
import FakeGuest
import Linux
import PCI
import Testing
import VFIO
import VFIOUserClient

@testable import VFIOUserServer

/// What a server counts.
@Suite struct StatisticsTests {
    private let bench: Bench

    init() throws {
        bench = try Bench(isBusMaster: false)
    }

    private func statistics() -> Statistics {
        bench.device.onThread { _, server in server.statistics }
    }

    @Test func accessesAreCountedByRegion() throws {
        for value in 0..<3 as Range<UInt32> { try bench.write(value, at: 4) }
        _ = try bench.read(UInt32.self, at: 4)
        for _ in 0..<2 { _ = try bench.read(UInt16.self, region: 7, at: 0) }
        try bench.expectRefusal(.invalidArgument, of: .regionRead, wire(UInt64(1 << 20), UInt32(0), UInt32(4)))
        let counted = statistics()
        #expect(counted.writes[0] == 3)
        #expect(counted.reads[0] == 1)
        // One is the look whether the server is alive.
        #expect(counted.reads[7] == 3)
        #expect(counted.writes[7] == 0)
        #expect(counted.ringReadsAndWrites[0] == 0)
        #expect(counted.errors == 1)
        #expect(counted.messages == 9)
    }

    @Test func ringAccessesAreCountedByRegionToo() throws {
        let device = try ServedDevice("exerciser")
        let client = try Client(path: device.path)
        try client.write(UInt32(1), region: 0, offset: 4)
        for _ in 0..<4 { _ = try client.read(UInt32.self, region: 0, offset: 4) }
        _ = try client.read(UInt32.self, region: 7, offset: 0)
        let counted = device.onThread { _, server in server.statistics }
        #expect(counted.ringAccesses == 6)
        #expect(counted.ringReadsAndWrites[0] == 5)
        #expect(counted.ringReadsAndWrites[7] == 1)
        #expect(counted.reads[0] == 4 && counted.writes[0] == 1)
    }

    // MARK: Latency

    @Test func oneAccessInSixtyFourIsTimed() throws {
        let read = wire(UInt64(4), UInt32(0), UInt32(4))
        for _ in 0..<63 { try bench.call(.regionRead, read) }
        #expect(statistics().latency.samples == 0)
        try bench.call(.deviceGetInfo, wire(UInt32(16), UInt32(0), UInt32(0), UInt32(0)))
        #expect(statistics().latency.samples == 0, "a query is no access")
        try bench.write(UInt32(1), at: 4)
        #expect(statistics().latency.samples == 1)
        for _ in 0..<64 { try bench.client.send(.regionWrite, read + wire(UInt32(7)), flags: .noReply) }
        for _ in 0..<64 { try bench.call(.regionWriteMulti, wire(UInt64(0))) }
        let latency = statistics().latency
        #expect(latency.samples == 3)
        #expect(latency.nanoseconds > 0)
        #expect(latency.buckets.indices.reduce(0) { $0 + latency.buckets[$1] } == 3)
    }

    @Test func accessesThroughTheRingAreTimedAsWell() throws {
        let device = try ServedDevice("exerciser")
        let client = try Client(path: device.path)
        for _ in 0..<128 { _ = try client.read(UInt32.self, region: 0, offset: 4) }
        #expect(device.onThread { _, server in server.statistics.latency.samples } == 2)
    }

    @Test(
        arguments: [
            (0, 0), (255, 0), (256, 1), (511, 1), (512, 2), ((1 << 26) - 1, 18), (1 << 26, 19), (.max, 19),
        ] as [(UInt64, Int)])
    func aLatencyFallsIntoTheBucketBelowItsBound(nanoseconds: UInt64, bucket: Int) {
        var histogram = LatencyHistogram()
        histogram.record(nanoseconds)
        #expect(histogram.buckets[bucket] == 1)
        if let bound = LatencyHistogram.upperBound(of: bucket) { #expect(nanoseconds < bound) }
        if let bound = LatencyHistogram.upperBound(of: bucket - 1) { #expect(nanoseconds >= bound) }
    }

    @Test func theLastBucketHasNoBound() {
        #expect(LatencyHistogram.upperBound(of: 18) == 1 << 26)
        for bucket in [-1, 19, 20, .max] { #expect(LatencyHistogram.upperBound(of: bucket) == nil) }
    }

    // MARK: Interrupts and memory

    @Test func interruptsAreCountedByKind() throws {
        let event = try EventFD()
        for (kind, times) in [(InterruptKind.msix, 3), (.error, 2)] {
            let set = IRQSet(kind: kind, count: 1, data: .eventfd, action: .trigger)
            try bench.call(.deviceSetIRQs, wire(set.write), descriptors: [event.descriptor.raw])
            let trigger = IRQSet(kind: kind, count: 1, data: .none, action: .trigger)
            for _ in 0..<times { try bench.call(.deviceSetIRQs, wire(trigger.write)) }
        }
        let counted = statistics()
        let byKind = InterruptKind.allCases.map { counted.interruptsByKind[Int($0.rawValue)] }
        #expect(byKind == [0, 0, 3, 2, 0])
        #expect(counted.interrupts == 5)
    }

    @Test func dmaIsCountedByItsWayAndDirection() throws {
        let memory = try GuestRAM(at: 0, size: 4096)
        try bench.map(memory)
        try bench.setBusMaster(true)
        #expect(try bench.transfer(Bench.load, from: 0, length: 100) == 0)
        #expect(try bench.transfer(Bench.fill, to: 0, length: 30) == 0)
        let traffic = bench.device.onThread { function, _ in
            [function.host.memory.traffic.bytesRead, function.host.memory.traffic.bytesWritten]
        }
        #expect(traffic == [100, 30])
        try bench.mapRemote(address: 1 << 20, size: 4096)
        try bench.startTransfer(Bench.load, from: 1 << 20, length: 8)
        let command = try #require(try bench.client.receive())
        try bench.client.send(
            message(.dmaRead, id: command.header.id, command.payload + wire(UInt64(0)), flags: .reply))
        #expect(try bench.client.receive()?.errno == nil)
        let counted = statistics()
        #expect(counted.messageDMABytesRead == 8)
        #expect(counted.messageDMABytesWritten == 0)
        #expect(bench.device.onThread { function, _ in function.host.memory.mappedBytes } == 8192)
    }

    @Test func whatAClientHasDoneStaysCountedWhenItHasLeft() throws {
        for _ in 0..<64 { _ = try bench.read(UInt32.self, at: 4) }
        bench.client.socket.shutDown()
        while bench.device.onThread({ _, server in server.hasClient }) {}
        let counted = statistics()
        #expect(counted.reads[0] == 64)
        #expect(counted.latency.samples == 1)
        #expect(counted.sessions == 1)
    }
}
