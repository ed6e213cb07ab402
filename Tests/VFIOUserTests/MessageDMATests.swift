import FakeGuest
import Linux
import Testing
import VFIO
import VFIOUser

/// VFIO_USER_DMA_READ, VFIO_USER_DMA_WRITE: memory that came without a descriptor.
@Suite struct MessageDMATests {
    private func setUp(
        start: UInt64 = 0x10_0000, count: Int, configure: (inout Client.Configuration) -> Void = { _ in }
    ) throws -> (ServedDevice, Client, GuestRAM) {
        let device = try ServedDevice("exerciser")
        let client = try device.client(configure: configure)
        let memory = GuestRAM(start: start, count: count)
        client.memory = memory
        try client.map(address: start, size: UInt64(count))
        return (device, client, memory)
    }

    private func status(_ client: Client) throws -> UInt32 {
        try client.read(UInt32.self, region: 0, offset: 0x3c)
    }

    @Test(arguments: [false, true])
    func bytesTravelInMessages(overTwinSocket: Bool) throws {
        let (device, client, memory) = try setUp(count: 1 << 16) {
            if overTwinSocket { $0.capabilities.twinSocket = .supported }
        }
        memory.bytes = (0..<(1 << 16)).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 7) }
        try command(client, .load, source: 0x10_0000, length: 1 << 16)
        #expect(try status(client) == 0)
        #expect(try client.read(region: 2, offset: 4096, count: 1 << 16) == memory.bytes)
        try command(client, .copy, source: 0x10_0000, destination: 0x10_8000, length: 1 << 15)
        #expect(memory.bytes[..<(1 << 15)] == memory.bytes[(1 << 15)...])
        _ = device
    }

    @Test func transfersAreNoLongerThanTheClientTakes() throws {
        let (device, client, memory) = try setUp(count: 1 << 14) { $0.capabilities.maxDataTransfer = 1000 }
        memory.bytes = (0..<(1 << 14)).map { UInt8(truncatingIfNeeded: $0 % 251) }
        try command(client, .load, source: 0x10_0000, length: 4096)
        #expect(memory.transfers == [1000, 1000, 1000, 1000, 96])
        #expect(try client.read(region: 2, offset: 4096, count: 1000) == Array(memory.bytes.prefix(1000)))
        _ = device
    }

    @Test func aRefusedTransferFailsTheAccessOnly() throws {
        let (device, client, memory) = try setUp(count: 4096)
        memory.failure = .ioError
        try command(client, .load, source: 0x10_0010, length: 16)
        #expect(try status(client) == 5)
        #expect(try client.read(UInt64.self, region: 0, offset: 0x40) == 0x10_0010)
        memory.failure = nil
        try command(client, .load, source: 0x10_0010, length: 16)
        #expect(try status(client) == 0)
        _ = device
    }

    /// A raw client whose exerciser has been told to read 16 bytes at 0: the next message is its DMA_READ.
    private func whileTheServerWaits(_ offer: String = RawClient.qemuOffer) throws -> (Connection, RawClient.Reply) {
        let connection = try Connection()
        let raw = connection.raw
        #expect(
            try raw.call(.dmaMap, fields(UInt32(32), UInt32(3), UInt64(0), UInt64(0), UInt64(4096))).errno == nil)
        for (offset, bytes) in [(0x20, fields(UInt64(0))), (0x30, fields(UInt32(16)))] {
            _ = try raw.call(.regionWrite, fields(UInt64(offset), UInt32(0), UInt32(bytes.count)) + bytes)
        }
        try raw.send(
            RawClient.message(10, id: 500, payload: fields(UInt64(0x38), UInt32(0), UInt32(4), UInt32(1))))
        let request = try raw.receive()
        #expect(request.command == Command.dmaRead.rawValue)
        #expect(request.payload == fields(UInt64(0), UInt64(16)))
        return (connection, request)
    }

    private func status(_ raw: RawClient) throws -> UInt32 {
        try raw.call(.regionRead, fields(UInt64(0x3c), UInt32(0), UInt32(4))).payload.number(UInt32.self, at: 16)
    }

    private static let data = [UInt8](repeating: 0x77, count: 16)

    @Test func commandsMayArriveWhileTheServerWaits() throws {
        let (connection, request) = try whileTheServerWaits()
        let raw = connection.raw
        let event = try EventFD()
        // With a descriptor among them, before and behind the reply.
        try raw.send(RawClient.message(4, id: 501, payload: fields(UInt32(16), UInt32(0), UInt32(0), UInt32(0))))
        try raw.send(
            RawClient.message(8, id: 502, payload: fields(UInt32(24), UInt32(0x24), UInt32(2), UInt32(0), UInt32(1))),
            descriptors: [event.descriptor.raw])
        try raw.send(
            RawClient.message(11, id: request.id, flags: 1, payload: fields(UInt64(0), UInt64(16)) + Self.data))
        try raw.send(RawClient.message(13, id: 503))
        #expect(try raw.receive().id == 500)
        #expect(try raw.receive().id == 501)
        let set = try raw.receive()
        #expect(set.id == 502 && set.errno == nil)
        #expect(try raw.receive().id == 503)
        let buffer = try raw.call(.regionRead, fields(UInt64(4096), UInt32(2), UInt32(16)))
        #expect(buffer.payload.suffix(16) == Self.data[...])
        _ = try raw.call(.regionWrite, fields(UInt64(0x10), UInt32(0), UInt32(4), UInt32(0)))
        #expect(event.consume() == 1)
    }

    private static let nonsense: [([UInt8], String)] = [
        ([UInt8](), "nothing"), (fields(UInt64(0)), "half a header"),
        (fields(UInt64(0), UInt64(16)) + [1, 2, 3], "too little"),
        (fields(UInt64(0), UInt64(16)) + [UInt8](repeating: 1, count: 17), "too much"),
        (fields(UInt64(8), UInt64(16)) + data, "another address"),
        (fields(UInt64(0), UInt64(8)) + [UInt8](repeating: 1, count: 8), "another count"),
        (fields(UInt64(0), UInt64.max), "a count that overflows"),
    ]

    @Test(arguments: nonsense)
    func aReplyThatMakesNoSenseFailsTheAccess(payload: [UInt8], what: String) throws {
        let (connection, request) = try whileTheServerWaits()
        try connection.raw.send(RawClient.message(11, id: request.id, flags: 1, payload: payload))
        #expect(try connection.raw.receive().id == 500)
        #expect(try status(connection.raw) == 5, "\(what)")
    }

    @Test func aServerThatWaitsTooLongFailsTheAccessAndDropsTheLateReply() throws {
        let device = try ServedDevice("exerciser") { $0.patience = 50 }
        let raw = try device.rawClient()
        try raw.negotiate()
        _ = try raw.call(.dmaMap, fields(UInt32(32), UInt32(3), UInt64(0), UInt64(0), UInt64(4096)))
        _ = try raw.call(.regionWrite, fields(UInt64(0x30), UInt32(0), UInt32(4), UInt32(16)))
        try raw.send(RawClient.message(10, id: 500, payload: fields(UInt64(0x38), UInt32(0), UInt32(4), UInt32(1))))
        let request = try raw.receive()
        #expect(try raw.receive().id == 500)
        try raw.send(
            RawClient.message(11, id: request.id, flags: 1, payload: fields(UInt64(0), UInt64(16)) + Self.data))
        #expect(try status(raw) == 5)
    }

    @Test func aClientMayLeaveWhileTheServerWaits() throws {
        let (connection, _) = try whileTheServerWaits()
        try connection.raw.leave()
        let next = try connection.device.rawClient()
        #expect(try next.negotiate().errno == nil)
        #expect(try status(next) == 5)
    }

    @Test func clientsDoNotAskForTheirOwnMemory() throws {
        let connection = try Connection()
        try connection.expect(.invalidArgument, .dmaRead, fields(UInt64(0), UInt64(16)))
        try connection.expect(.invalidArgument, .dmaWrite, fields(UInt64(0), UInt64(1)) + [1])
    }
}
