import FakeGuest
import Linux
import Testing
import VFIO

/// VFIO_USER_DEVICE_GET_INFO, VFIO_USER_DEVICE_RESET
@Suite struct DeviceInfoTests {
    private static let request = fields(UInt32(16), UInt32(0), UInt32(0), UInt32(0))

    @Test func aPCIDeviceHasNineRegionsAndFiveInterruptTypes() throws {
        let connection = try Connection()
        let reply = try connection.raw.call(.deviceGetInfo, Self.request)
        #expect(reply.payload == fields(UInt32(16), UInt32(3), UInt32(9), UInt32(5)))
    }

    @Test func otherLengthsAreInvalid() throws {
        try Connection().expectOnlyThisLength(.deviceGetInfo, Self.request)
    }

    @Test func aShortArgumentSizeIsInvalid() throws {
        try Connection().expect(.invalidArgument, .deviceGetInfo, fields(UInt32(15), UInt32(0), UInt32(0), UInt32(0)))
    }

    @Test func resetMakesRegistersWhatTheyWere() throws {
        let device = try ServedDevice("exerciser")
        let client = try device.client()
        try client.write(UInt32(0xdead), region: 0, offset: 4)
        try client.write(UInt16(0x0006), region: 7, offset: 4)
        try client.reset()
        #expect(try client.read(UInt32.self, region: 0, offset: 4) == 0)
        #expect(try client.read(UInt16.self, region: 7, offset: 4) == 0)
    }

    @Test func resetHasNoPayload() throws {
        try Connection().expect(.invalidArgument, .deviceReset, [0])
    }
}
