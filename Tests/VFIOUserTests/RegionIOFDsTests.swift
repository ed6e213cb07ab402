import FakeGuest
import Linux
import Testing
import VFIO

/// VFIO_USER_DEVICE_GET_REGION_IO_FDS
@Suite struct RegionIOFDsTests {
    private let bench: Bench

    init() throws {
        bench = try Bench()
    }

    private func request(_ index: UInt32, argsz: UInt32 = 16, flags: UInt32 = 0, count: UInt32 = 0) -> [UInt8] {
        wire(argsz, flags, index, count)
    }

    @Test func theAnswerTakesTwoSteps() throws {
        for argsz in [16, 55] as [UInt32] {
            let first = try bench.call(.deviceGetRegionIOFDs, request(0, argsz: argsz))
            #expect(first.payload == wire(UInt32(56), UInt32(0), UInt32(0), UInt32(0)) && first.files.isEmpty)
        }
        let second = try bench.call(.deviceGetRegionIOFDs, request(0, argsz: 56))
        #expect(second.files.count == 1 && second.payload.count == 56)
        let entry = try #require(try RegionIOFDs.Reply(second.payload.span.bytes).info.entries.first)
        #expect(entry == .init(offset: 0x80, size: 4, descriptorIndex: 0, kind: .ioeventfd))
    }

    @Test func theDescriptorRingsTheDoorbell() throws {
        let reply = try bench.call(.deviceGetRegionIOFDs, request(0, argsz: 56))
        let file = try #require(reply.files.first)
        let bell = try EventFD(adopting: try file.descriptor.duplicate())
        bell.signal()
        // A job for the device's thread comes behind the doorbell, which was ready before it.
        bench.device.onThread { _, _ in }
        #expect(try bench.read(UInt64.self, at: 0x78) == 1)
        try bench.write(UInt32(1), at: 0x80)
        #expect(try bench.read(UInt64.self, at: 0x78) == 2)
    }

    @Test func theDescriptorsOfAnEarlierAnswerStillRing() throws {
        let replies = try (0..<2).map { _ in try bench.call(.deviceGetRegionIOFDs, request(0, argsz: 56)) }
        for (number, reply) in replies.enumerated() {
            let file = try #require(reply.files.first)
            try EventFD(adopting: file.descriptor.duplicate()).signal()
            bench.device.onThread { _, _ in }
            #expect(try bench.read(UInt64.self, at: 0x78) == UInt64(number + 1))
        }
    }

    @Test func aRegionWithoutDoorbellsHasNone() throws {
        for index in [1, 2, 3, 7, 8] as [UInt32] {
            let reply = try bench.call(.deviceGetRegionIOFDs, request(index, argsz: 4096))
            #expect(reply.payload == wire(UInt32(16), UInt32(0), index, UInt32(0)) && reply.files.isEmpty)
        }
    }

    @Test func wrongRequestsAreInvalid() throws {
        for payload in wrongLengths(of: request(0)) + [
            request(9), request(.max), request(0, argsz: 15), request(0, flags: 1), request(0, count: 1),
        ] {
            try bench.expectRefusal(.invalidArgument, of: .deviceGetRegionIOFDs, payload)
        }
    }

    @Test func anUnwantedReplyIsNone() throws {
        try bench.post(.deviceGetRegionIOFDs, request(0, argsz: 56))
    }
}
