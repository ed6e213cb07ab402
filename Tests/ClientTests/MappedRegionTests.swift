import FakeGuest
import Linux
import Testing
import VFIO

/// VFIO_USER_DEVICE_GET_REGION_INFO
@Suite struct MappedRegionTests {
    @Test func theMappedPartIsWhatMessagesReadAndWrite() throws {
        let device = try ServedDevice("exerciser")
        let client = try device.client()
        let mapping = try client.region(2).map(at: 4096, size: 4096)
        mapping.base.storeBytes(of: 0x1234_5678, as: UInt32.self)
        #expect(try client.read(UInt32.self, region: 2, offset: 4096) == 0x1234_5678)
        try client.write(UInt32(0x9abc_def0), region: 2, offset: 4100)
        #expect(mapping.base.load(fromByteOffset: 4, as: UInt32.self) == 0x9abc_def0)
    }

    @Test func theTrappedPartCannotBeMapped() throws {
        let device = try ServedDevice("exerciser")
        let client = try device.client()
        let region = try client.region(2)
        #expect(throws: (any Error).self) { try region.map(at: 0, size: 4096) }
    }
}
