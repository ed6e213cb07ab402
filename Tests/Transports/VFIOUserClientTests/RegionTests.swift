import FakeGuest
import Linux
import Testing
import VFIO
import VFIOUserClient

/// VFIO_USER_REGION_READ, VFIO_USER_REGION_WRITE, and the access ring
@Suite struct RegionTests {
    @Test(arguments: [1, 2, 3, 4, 5, 7, 8, 16, 32], Way.allCases)
    func anyWidthReachesTheRegisters(count: Int, way: Way) throws {
        let device = try ServedDevice("exerciser")
        let client = try device.client(by: way)
        try client.write(UInt32(0x0403_0201), region: 0, offset: 4)
        try client.write(UInt64(0x0c0b_0a09_0807_0605), region: 0, offset: 8)
        let bytes = try client.read(region: 0, offset: 4, count: count)
        let registers: [UInt8] = (1...12).map { $0 } + [UInt8](repeating: 0, count: 20)
        #expect(bytes == Array(registers.prefix(count)))
    }

    @Test(arguments: Way.allCases)
    func postedWritesKeepTheirOrder(way: Way) throws {
        let device = try ServedDevice("exerciser")
        let client = try device.client(by: way)
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

    /// Long data takes the socket, short data the ring.
    @Test func postedWritesOfBothWaysKeepTheirOrder() throws {
        let device = try ServedDevice("exerciser")
        let client = try device.client(by: .accessRing)
        for number in 1...100 as ClosedRange<UInt8> {
            let long = [UInt8](repeating: number, count: 64)
            try client.write(region: 2, offset: 4096, bytes: long.span.bytes, isPosted: true)
            #expect(try client.read(UInt8.self, region: 2, offset: 4096) == number)
            try client.write(UInt32(number), region: 2, offset: 4096, isPosted: true)
            #expect(try client.read(region: 2, offset: 4096, count: 64).prefix(5) == [number, 0, 0, 0, number])
        }
    }

    @Test(arguments: Way.allCases)
    func whatTheServerRefusesIsRefused(way: Way) throws {
        let device = try ServedDevice("exerciser")
        let client = try device.client(by: way)
        #expect(throws: ClientError.refused(.regionRead, .invalidArgument)) {
            try client.read(UInt32.self, region: 0, offset: 4094)
        }
        #expect(throws: ClientError.refused(.regionWrite, .invalidArgument)) {
            try client.write(UInt32(0), region: 3, offset: 0)
        }
        #expect(try client.read(UInt32.self, region: 0, offset: 0) == 0x0001_11e9)
    }

    @Test(arguments: Way.allCases)
    func aServerThatLeavesIsNoticed(way: Way) throws {
        let device = try ServedDevice("exerciser")
        let client = try device.client(by: way)
        #expect(try client.read(UInt32.self, region: 0, offset: 0) == 0x0001_11e9)
        device.stop()
        #expect(throws: ClientError.disconnected) { try client.read(UInt32.self, region: 0, offset: 0) }
    }
}
