import FakeGuest
import Linux
import Testing
import VFIO
import VFIOUserClient

/// VFIO_USER_DMA_READ, VFIO_USER_DMA_WRITE: memory that came without a descriptor.
@Suite struct MessageDMATests {
    private func setUp(
        start: UInt64 = 0x10_0000, count: Int, configure: (inout Client.Configuration) -> Void = { _ in }
    ) throws -> (ServedDevice, Client, RemoteRAM) {
        let device = try ServedDevice("exerciser")
        let client = try device.client(configure: configure)
        let memory = RemoteRAM(start: start, count: count)
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
}
