import FakeGuest
import Linux
import Testing
import VFIO

/// VFIO_USER_DEVICE_GET_IRQ_INFO
@Suite struct IRQInfoTests {
    private func request(_ index: UInt32, argsz: UInt32 = 16) -> [UInt8] {
        wire(argsz, UInt32(0), index, UInt32(0))
    }

    private func infos(_ type: String) throws -> [IRQInfo] {
        let bench = try Bench(type)
        var infos: [IRQInfo] = []
        for index in 0..<5 as Range<UInt32> {
            let payload = try bench.call(.deviceGetIRQInfo, request(index)).payload
            infos.append(try IRQInfo(payload.span.bytes))
        }
        return infos
    }

    @Test func theExerciserHasEveryType() throws {
        let infos = try infos("exerciser")
        #expect(infos.map(\.count) == [1, 8, 8, 1, 1])
        #expect(infos[0].flags == [.eventfd, .maskable, .automasked])
        #expect(infos[2].flags.contains(.eventfd) && !infos[2].flags.contains(.automasked))
        #expect(infos[3].flags == .eventfd && infos[4].flags == .eventfd)
        #expect(infos.map(\.index) == [0, 1, 2, 3, 4])
    }

    @Test func aDeviceWithoutInterruptsSaysSo() throws {
        let infos = try infos("bochs-display")
        #expect(infos.prefix(3).allSatisfy { $0.count == 0 && $0.flags == [] })
    }

    @Test func wrongRequestsAreInvalid() throws {
        let bench = try Bench()
        for payload in wrongLengths(of: request(0)) + [request(5), request(.max), request(0, argsz: 15)] {
            try bench.expectRefusal(.invalidArgument, of: .deviceGetIRQInfo, payload)
        }
        try bench.post(.deviceGetIRQInfo, request(0))
    }
}
