import FakeGuest
import Device
import Linux
import Testing
import VFIO
import VFIOUserClient

/// Registers that live in a page which clients map for reading.
@Suite struct SharedRegisterTests {
    @Test func theyAreCurrentWithNoMessage() throws {
        let device = try ServedDevice("exerciser")
        let client = try device.client()
        let region = try client.region(5)
        #expect(region.info.flags == [.read, .mmap])
        let file = try #require(region.file)
        let page = try Mapping(of: file.descriptor, size: 4096, access: .read)
        let messages = device.onThread { _, server in server.statistics.messages }
        func number(_ offset: Int) throws -> UInt64 {
            var value: UInt64 = 0
            try GuardedCopy.copy(to: &value, from: page.base + offset, count: 8)
            return value
        }
        #expect(try number(8) == 0)
        device.onThread { function, _ in
            for _ in 0..<3 { function.ring(Doorbell(at: 0x80), bar: 0, times: 1) }
        }
        #expect(try number(8) == 3)
        #expect(device.onThread { _, server in server.statistics.messages } == messages)
        // By message they read the same, and a reset takes them back.
        #expect(try client.read(UInt64.self, region: 5, offset: 8) == 3)
        try client.reset()
        #expect(try number(8) == 0)
    }

    @Test func nobodyButTheDeviceCanWriteThem() throws {
        let device = try ServedDevice("exerciser")
        let client = try device.client()
        let file = try #require(try client.region(5).file)
        #expect(throws: Errno.notPermitted) { try Mapping(of: file.descriptor, size: 4096) }
        #expect(throws: Errno.self) { try file.descriptor.writeAll([UInt8](repeating: 1, count: 8).span.bytes) }
        #expect(throws: ClientError.self) { try client.write(UInt64(7), region: 5, offset: 8) }
        #expect(try client.read(UInt64.self, region: 5, offset: 8) == 0)
    }
}
