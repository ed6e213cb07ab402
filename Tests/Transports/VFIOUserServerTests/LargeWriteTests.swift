import Device
import FakeGuest
import Glibc
import Linux
import Tap
import Testing
import VFIO
import VFIOUserClient

/// A large VFIO_USER_REGION_WRITE to memory behind a BAR, whose bytes go there as they arrive.
@Suite(.unobserved) struct LargeWriteTests {
    private static let count = 64 << 10
    private static let offset: UInt64 = 4096

    private let bench: Bench
    private let data = (0..<count).map { UInt8(truncatingIfNeeded: 1 + $0 ^ $0 >> 8) }

    init() throws {
        bench = try Bench("bochs-display")
    }

    private func request(_ flags: MessageHeader.Flags = []) -> [UInt8] {
        message(.regionWrite, id: 7, wire(Self.offset, UInt32(0), UInt32(Self.count)) + data, flags: flags)
    }

    /// The data's first bytes as the device's memory has them.
    private func written() -> [UInt8] {
        bench.device.onThread { function, _ in
            var bytes = [UInt8](repeating: 0, count: Self.count)
            var span = bytes.mutableSpan
            var raw = span.mutableBytes
            function.region(0)?.memory?.copy(at: Int(Self.offset), count: Self.count, into: &raw)
            return bytes
        }
    }

    /// Sends a part, and returns when it has arrived.
    private func send(_ part: some Collection<UInt8>) throws {
        try bench.client.send(Array(part))
        // What is asked of the device's thread may be done before it has received the part, but not twice.
        for _ in 0..<2 { bench.device.onThread { _, _ in } }
    }

    private func expectAnswer() throws {
        let reply = try #require(try bench.client.receive())
        #expect(reply.header.id == 7 && reply.errno == nil)
        #expect(reply.payload == wire(Self.offset, UInt32(0), UInt32(Self.count)))
    }

    @Test(arguments: [1, 16, 31, 32, 33, 20_000, 32 + count - 1]) func itMayComeInTwoPieces(_ split: Int) throws {
        let bytes = request()
        try send(bytes.prefix(split))
        #expect(
            written() == data.prefix(max(0, split - 32)) + Array(repeating: 0, count: Self.count - max(0, split - 32)))
        try bench.client.send(Array(bytes.dropFirst(split)))
        try expectAnswer()
        #expect(written() == data)
        #expect(bench.device.onThread { _, server in server.statistics.writes[0] } == 1)
    }

    @Test func itMayComeInManyPiecesWithOthersBehind() throws {
        let read = message(.regionRead, id: 8, wire(Self.offset + 3, UInt32(0), UInt32(4)))
        let bytes = request() + request(.noReply) + read
        for start in stride(from: 0, to: bytes.count, by: 10_007) {
            try send(bytes[start..<min(start + 10_007, bytes.count)])
        }
        try expectAnswer()
        let reply = try #require(try bench.client.receive())
        #expect(reply.header.id == 8 && Array(reply.payload.dropFirst(16)) == Array(data[3..<7]))
        #expect(bench.device.onThread { _, server in server.statistics.writes[0] } == 2)
    }

    @Test func whatComesOnceTheFunctionStandsStillIsRefused() throws {
        let bytes = request()
        try send(bytes.prefix(20_000))
        bench.device.onThread { function, _ in function.setRunning(false) }
        try bench.client.send(Array(bytes.dropFirst(20_000)))
        #expect(try bench.client.receive()?.errno == .resourceBusy)
        #expect(written().dropFirst(20_000 - 32).allSatisfy { $0 == 0 })
        bench.device.onThread { function, _ in function.setRunning(true) }
        try bench.client.send(bytes)
        try expectAnswer()
        #expect(written() == data)
    }

    @Test func aTapSeesWhatComesOnceItIsThere() throws {
        let bytes = request()
        let tap = KeepingTap()
        try send(bytes.prefix(20_000))
        bench.device.onThread { function, _ in function.host.tap = tap }
        try bench.client.send(Array(bytes.dropFirst(20_000)))
        try expectAnswer()
        let seen = KeepingTap.Seen(
            .write(region: 0, offset: Self.offset + 20_000 - 32, by: .message), Array(bytes.dropFirst(20_000)))
        #expect(tap.take() == [seen])
        #expect(written() == data)
    }

    @Test func descriptorsAmongItsBytesAreClosed() throws {
        let bytes = request()
        let file = try MemoryFile(name: "unwanted", size: 4096)
        for split in [0, 20_000] {
            if split > 0 { try send(bytes.prefix(split)) }
            try bench.client.send(Array(bytes.dropFirst(split)), descriptors: [file.descriptor.raw])
            #expect(try bench.client.receive()?.errno == .invalidArgument)
        }
        #expect(file.descriptor.openCount(settlingAt: 1) == 1)
        try bench.client.send(bytes)
        try expectAnswer()
    }

    @Test func aClientThatLeavesAmidOneLeavesNothingToTheNext() throws {
        try send(request().prefix(20_000))
        bench.client.socket.shutDown()
        var next = try RawClient(path: bench.device.path)
        while try next.negotiate().errno == .resourceBusy { next = try RawClient(path: bench.device.path) }
        try next.send(request())
        #expect(try next.receive()?.payload == wire(Self.offset, UInt32(0), UInt32(Self.count)))
        #expect(written() == data)
    }
}
