import FakeGuest
import Linux
import Testing
import VFIO

/// VFIO_USER_REGION_WRITE_MULTI
@Suite struct RegionWriteMultiTests {
    private let bench: Bench

    init() throws {
        bench = try Bench()
    }

    private func request(_ writes: [(region: UInt32, offset: UInt64, count: UInt32, data: UInt64)]) -> [UInt8] {
        writes.reduce(wire(UInt64(writes.count))) { $0 + wire($1.offset, $1.region, $1.count, $1.data) }
    }

    @Test func allAreWrittenInOrder() throws {
        let reply = try bench.call(
            .regionWriteMulti, request([(0, 4, 4, 1), (0, 4, 4, 2), (0, 8, 8, .max), (0, 8, 1, 0)]))
        #expect(reply.payload == wire(UInt64(4)))
        #expect(try bench.read(UInt32.self, at: 4) == 2)
        #expect(try bench.read(UInt64.self, at: 8) == UInt64.max - 255)
    }

    @Test func noneIsFine() throws {
        #expect(try bench.call(.regionWriteMulti, request([])).payload == wire(UInt64(0)))
    }

    @Test func theFirstThatFailsEndsIt() throws {
        for wrong in [(9, 0, 4, 0), (0, 4096, 1, 0), (0, 4, 9, 0), (0, 4, 0, 0), (0, .max, 8, 0)]
            as [(region: UInt32, offset: UInt64, count: UInt32, data: UInt64)]
        {
            try bench.write(UInt32(0), at: 4)
            try bench.expectRefusal(
                .invalidArgument, of: .regionWriteMulti, request([(0, 4, 4, 1), wrong, (0, 4, 4, 2)]))
            #expect(try bench.read(UInt32.self, at: 4) == 1)
        }
    }

    @Test func countAndLengthMustAgree() throws {
        let right = request([(0, 4, 4, 1), (0, 8, 4, 1)])
        for count in [0, 1, 3, .max, 1 << 60] as [UInt64] {
            try bench.expectRefusal(.invalidArgument, of: .regionWriteMulti, right.replacing(at: 0, with: count))
        }
        for payload in wrongLengths(of: right) + [Array(right.prefix(7))] {
            try bench.expectRefusal(.invalidArgument, of: .regionWriteMulti, payload)
        }
        #expect(try bench.read(UInt32.self, at: 4) == 0)
    }

    @Test func thereIsALimitToTheirNumber() throws {
        let most = Array(
            repeating: (region: UInt32(0), offset: UInt64(4), count: UInt32(4), data: UInt64(5)), count: 1024)
        #expect(try bench.call(.regionWriteMulti, request(most)).payload == wire(UInt64(1024)))
        try bench.write(UInt32(0), at: 4)
        try bench.expectRefusal(.invalidArgument, of: .regionWriteMulti, request(most + most.prefix(1)))
        #expect(try bench.read(UInt32.self, at: 4) == 0)
    }

    @Test func itMustHaveBeenOffered() throws {
        let bench = try Bench(offer: "{}")
        try bench.expectRefusal(.inappropriateIOCTLForDevice, of: .regionWriteMulti, request([(0, 4, 4, 1)]))
    }

    @Test func anUnwantedReplyIsNone() throws {
        try bench.post(.regionWriteMulti, request([(0, 4, 4, 3)]))
        #expect(try bench.read(UInt32.self, at: 4) == 3)
    }

    @Test func aMessageThatTakesLongLeavesTimeForAllElse() throws {
        let memory = try GuestRAM(at: 0, size: 1 << 21)
        try bench.map(memory)
        try bench.write(UInt64(1) << 20, at: 0x28)
        try bench.write(UInt32(1) << 20, at: 0x30)
        // A mebibyte copied by each.
        let copies = Array(
            repeating: (region: UInt32(0), offset: UInt64(0x38), count: UInt32(4), data: UInt64(Bench.copy)),
            count: 1024)
        try bench.client.send(.regionWriteMulti, request(copies))
        var done: UInt64 = 0
        while done == 0 {
            done = bench.device.onThread { function, _ in function.device.read(0, at: 0x70, width: .qword) }
        }
        #expect(done < 1024, "what the device's loop has to do came in between")
        #expect(try bench.client.receive()?.payload == wire(UInt64(1024)))
        #expect(try bench.read(UInt64.self, at: 0x70) == 1024)
        let counted = bench.device.onThread { _, server in server.statistics }
        #expect(counted.writes[0] == 2 + 1024)
    }
}
