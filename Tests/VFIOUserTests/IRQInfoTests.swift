import FakeGuest
import Linux
import Testing
import VFIO

/// VFIO_USER_DEVICE_GET_IRQ_INFO
@Suite struct IRQInfoTests {
    private func request(_ index: UInt32, argumentSize: UInt32 = 16) -> [UInt8] {
        fields(argumentSize, UInt32(0), index, UInt32(0))
    }

    @Test(arguments: [(0, 7, 1), (1, 3, 8), (2, 3, 8), (3, 1, 1), (4, 1, 1)] as [(UInt32, UInt32, UInt32)])
    func eachTypeHasItsFlagsAndCount(index: UInt32, flags: UInt32, count: UInt32) throws {
        let reply = try Connection().raw.call(.deviceGetIRQInfo, request(index))
        #expect(reply.payload == fields(UInt32(16), flags, index, count))
    }

    @Test func aTypeThatTheDeviceLacksHasCountZero() throws {
        let reply = try Connection("bochs-display").raw.call(.deviceGetIRQInfo, request(0))
        #expect(reply.payload == fields(UInt32(16), UInt32(0), UInt32(0), UInt32(0)))
    }

    @Test func wrongRequestsAreInvalid() throws {
        let connection = try Connection()
        try connection.expectOnlyThisLength(.deviceGetIRQInfo, request(0))
        try connection.expect(.invalidArgument, .deviceGetIRQInfo, request(5))
        try connection.expect(.invalidArgument, .deviceGetIRQInfo, request(.max))
        try connection.expect(.invalidArgument, .deviceGetIRQInfo, request(0, argumentSize: 15))
    }
}
