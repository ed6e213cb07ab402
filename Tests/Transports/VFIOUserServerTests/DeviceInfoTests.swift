import FakeGuest
import Linux
import Testing
import VFIO

/// VFIO_USER_DEVICE_GET_INFO
@Suite struct DeviceInfoTests {
    private let request = wire(UInt32(16), UInt32(0), UInt32(0), UInt32(0))

    @Test(arguments: ["exerciser", "bochs-display", "serial"])
    func everyDeviceIsAPCIDeviceThatCanBeReset(_ type: String) throws {
        let reply = try Bench(type).call(.deviceGetInfo, request)
        #expect(reply.payload == wire(UInt32(16), UInt32(3), UInt32(9), UInt32(5)))
    }

    @Test func aLargerArgszIsFine() throws {
        let reply = try Bench().call(.deviceGetInfo, request.replacing(at: 0, with: UInt32.max))
        #expect(reply.field(UInt32.self, at: 0) == 16)
    }

    @Test func aSmallerArgszIsInvalid() throws {
        try Bench().expectRefusal(.invalidArgument, of: .deviceGetInfo, request.replacing(at: 0, with: UInt32(15)))
    }

    @Test func theRequestHasOneLength() throws {
        let bench = try Bench()
        for payload in wrongLengths(of: request) {
            try bench.expectRefusal(.invalidArgument, of: .deviceGetInfo, payload)
        }
    }

    @Test func nobodyHearsOfAnUnwantedReply() throws {
        try Bench().post(.deviceGetInfo, request)
    }
}
