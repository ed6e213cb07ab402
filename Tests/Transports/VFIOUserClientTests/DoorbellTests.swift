import FakeGuest
import Linux
import Testing
import VFIO

/// VFIO_USER_DEVICE_GET_REGION_IO_FDS
@Suite struct DoorbellTests {
    @Test func aDoorbellRingsByEventFDAndByMessage() throws {
        let device = try ServedDevice("exerciser")
        let client = try device.client()
        let bells = try client.doorbells(ofRegion: 0)
        #expect(bells.count == 1)
        bells.first?.eventFD.signal()
        // The device's thread takes the ring before it gets to the closure.
        _ = device.onThread { _, _ in true }
        #expect(try client.read(UInt64.self, region: 0, offset: 0x78) == 1)
        try client.write(UInt32(1), region: 0, offset: 0x80)
        #expect(try client.read(UInt64.self, region: 0, offset: 0x78) == 2)
    }
}
