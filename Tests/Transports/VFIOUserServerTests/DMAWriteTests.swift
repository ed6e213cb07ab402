import FakeGuest
import Linux
import Testing
import VFIO
import VFIOUserClient
import VFIOUserServer

/// VFIO_USER_DMA_WRITE: the server asks, the client answers.
@Suite struct DMAWriteTests {
    private let bench: Bench
    private var client: RawClient { bench.client }

    init() throws {
        bench = try Bench()
        try bench.mapRemote(address: 0x10000, size: 0x1000)
        try bench.write(UInt8(0x5a), at: 0x34)
    }

    private func startFill() throws -> RawClient.Message {
        try bench.startTransfer(Bench.fill, to: 0x10000, length: 3)
        return try #require(try client.receive())
    }

    private func status(after reply: [UInt8]) throws -> UInt32 {
        try client.send(reply)
        let written = try #require(try client.receive())
        #expect(written.header.command == Command.regionWrite.rawValue && written.errno == nil)
        return try bench.read(UInt32.self, at: 0x3c)
    }

    @Test func theClientGetsTheBytes() throws {
        let request = try startFill()
        #expect(request.header.command == Command.dmaWrite.rawValue && request.header.type == .command)
        #expect(request.payload == wire(UInt64(0x10000), UInt64(3)) + [0x5a, 0x5a, 0x5a])
        let reply = message(.dmaWrite, id: request.header.id, Array(request.payload.prefix(16)), flags: .reply)
        #expect(try status(after: reply) == 0)
    }

    @Test func theShorterReplyOfTheSpecificationIsRightToo() throws {
        let request = try startFill()
        let reply = message(.dmaWrite, id: request.header.id, wire(UInt64(0x10000), UInt32(3)), flags: .reply)
        #expect(try status(after: reply) == 0)
    }

    @Test func wrongRepliesFailTheAccessAlone() throws {
        for payload in [
            [], [1], wire(UInt64(0x10000)), wire(UInt64(0x10000), UInt64(2)), wire(UInt64(0x11000), UInt64(3)),
            wire(UInt64(0x10000), UInt32(4)),
        ] {
            let request = try startFill()
            #expect(try status(after: message(.dmaWrite, id: request.header.id, payload, flags: .reply)) == 5)
        }
        let request = try startFill()
        #expect(try status(after: message(.dmaWrite, id: request.header.id, flags: [.reply, .error])) == 5)
        try bench.expectAlive()
    }

    @Test(.unobserved) func aClientThatTakesOnlyAPartIsDisconnected() throws {
        var configuration = Server.Configuration()
        configuration.patience = .milliseconds(20)
        let bench = try Bench(configuration: configuration)
        try bench.mapRemote(address: 0, size: 1 << 20)
        let isWritten = bench.device.onThread { function, _ in
            let bytes = [UInt8](repeating: 1, count: 1 << 20)
            return (try? function.host.memory.write(at: 0, from: bytes.span.bytes)) != nil
        }
        #expect(!isWritten)
        // Nothing but the part: what came behind it would be taken for guest memory.
        #expect(try bench.client.receive() == nil)
        try Bench(bench.device).expectAlive()
    }

    @Test func memoryThatMayNotBeWrittenIsNotAskedFor() throws {
        try bench.mapRemote(address: 0x20000, size: 0x1000, flags: .read)
        #expect(try bench.transfer(Bench.fill, to: 0x20000, length: 3) == 4)
    }
}
