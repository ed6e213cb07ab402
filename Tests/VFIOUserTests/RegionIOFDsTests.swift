import FakeGuest
import Linux
import Testing
import VFIO

/// VFIO_USER_DEVICE_GET_REGION_IO_FDS
@Suite struct RegionIOFDsTests {
    private func request(_ index: UInt32, argumentSize: UInt32 = 56, flags: UInt32 = 0, count: UInt32 = 0) -> [UInt8] {
        fields(argumentSize, flags, index, count)
    }

    @Test func aDoorbellIsAnEventFD() throws {
        let connection = try Connection()
        let reply = try connection.raw.call(.deviceGetRegionIOFDs, request(0))
        #expect(reply.payload.number(UInt32.self, at: 12) == 1)
        #expect(
            Array(reply.payload[16...])
                == fields(UInt64(0x80), UInt64(4), UInt32(0), UInt32(0), UInt32(0), UInt32(0), UInt64(0)))
        #expect(reply.descriptorCount == 1)
    }

    @Test func aDoorbellRingsByEventFDAndByMessage() throws {
        let device = try ServedDevice("exerciser")
        let client = try device.client()
        let bells = try client.doorbells(ofRegion: 0)
        #expect(bells.count == 1)
        bells.first?.eventFD.signal()
        // The device's thread takes the ring before it gets to the closure.
        _ = try device.onThread { _ in true }
        #expect(try client.read(UInt64.self, region: 0, offset: 0x78) == 1)
        try client.write(UInt32(1), region: 0, offset: 0x80)
        #expect(try client.read(UInt64.self, region: 0, offset: 0x78) == 2)
    }

    @Test func aSmallAnswerTellsHowMuchIsNeeded() throws {
        let reply = try Connection().raw.call(.deviceGetRegionIOFDs, request(0, argumentSize: 16))
        #expect(reply.payload == fields(UInt32(56), UInt32(0), UInt32(0), UInt32(0)))
        #expect(reply.descriptorCount == 0)
    }

    @Test func aRegionWithoutDoorbellsHasNone() throws {
        let reply = try Connection().raw.call(.deviceGetRegionIOFDs, request(2))
        #expect(reply.payload == fields(UInt32(16), UInt32(0), UInt32(2), UInt32(0)))
    }

    @Test func wrongRequestsAreInvalid() throws {
        let connection = try Connection()
        try connection.expectOnlyThisLength(.deviceGetRegionIOFDs, request(0))
        try connection.expect(.invalidArgument, .deviceGetRegionIOFDs, request(9))
        try connection.expect(.invalidArgument, .deviceGetRegionIOFDs, request(0, argumentSize: 15))
        try connection.expect(.invalidArgument, .deviceGetRegionIOFDs, request(0, flags: 1))
        try connection.expect(.invalidArgument, .deviceGetRegionIOFDs, request(0, count: 1))
    }
}
