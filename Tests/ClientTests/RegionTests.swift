import FakeGuest
import Linux
import Testing
import VFIO
import VFIOUser

/// VFIO_USER_REGION_READ, VFIO_USER_REGION_WRITE
@Suite struct RegionTests {
    @Test(arguments: [1, 2, 3, 4, 5, 7, 8, 16, 32])
    func anyWidthReachesTheRegisters(count: Int) throws {
        let device = try ServedDevice("exerciser")
        let client = try device.client()
        try client.write(UInt32(0x0403_0201), region: 0, offset: 4)
        try client.write(UInt64(0x0c0b_0a09_0807_0605), region: 0, offset: 8)
        let bytes = try client.read(region: 0, offset: 4, count: count)
        let registers: [UInt8] = (1...12).map { $0 } + [UInt8](repeating: 0, count: 20)
        #expect(bytes == Array(registers.prefix(count)))
    }

    @Test func postedWritesKeepTheirOrder() throws {
        let device = try ServedDevice("exerciser")
        let client = try device.client()
        for number in 1...1000 as ClosedRange<UInt32> {
            try client.write(number, region: 0, offset: 4, isPosted: true)
        }
        #expect(try client.read(UInt32.self, region: 0, offset: 4) == 1000)
        #expect(try client.read(UInt64.self, region: 0, offset: 0x68) == 1000)
    }

    @Test func writesComeTogetherInOneMessage() throws {
        let device = try ServedDevice("exerciser")
        let client = try device.client()
        try client.write([
            SmallRegionWrite(region: 0, offset: 4, count: 4, data: 0xaabb_ccdd),
            SmallRegionWrite(region: 0, offset: 8, count: 8, data: 0x1122_3344_5566_7788),
            SmallRegionWrite(region: 0, offset: 5, count: 1, data: 0xff),
        ])
        #expect(try client.read(UInt32.self, region: 0, offset: 4) == 0xaabb_ffdd)
        #expect(try client.read(UInt64.self, region: 0, offset: 8) == 0x1122_3344_5566_7788)
    }
}
