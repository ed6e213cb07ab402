import FakeGuest
import Linux
import Testing
import VFIO

/// VFIO_USER_REGION_WRITE
@Suite struct RegionWriteTests {
    private let bench: Bench

    init() throws {
        bench = try Bench()
    }

    private func request(_ region: UInt32, _ offset: UInt64, _ data: [UInt8], count: UInt32? = nil) -> [UInt8] {
        wire(offset, region, count ?? UInt32(data.count)) + data
    }

    @Test func theReplyRepeatsTheRequestWithoutTheData() throws {
        let reply = try bench.call(.regionWrite, request(0, 4, [1, 2, 3, 4]))
        #expect(reply.payload == wire(UInt64(4), UInt32(0), UInt32(4)))
        #expect(try bench.read(UInt32.self, at: 4) == 0x0403_0201)
    }

    @Test func anyWidthAndAlignmentIsWritten() throws {
        for count in 1...8 {
            for offset in 0...(8 - count) {
                try bench.write(UInt64(0), at: 8)
                let data = (1...count).map { UInt8($0) }
                try bench.call(.regionWrite, request(0, 8 + UInt64(offset), data))
                var expected = [UInt8](repeating: 0, count: 8)
                expected.replaceSubrange(offset..<offset + count, with: data)
                #expect(wire(try bench.read(UInt64.self, at: 8)) == expected)
            }
        }
    }

    @Test func configurationSpaceKeepsItsReadOnlyBits() throws {
        try bench.write(UInt32.max, region: 7, at: 0)
        #expect(try bench.read(UInt32.self, region: 7, at: 0) == 0x11e9_1234)
        try bench.write(UInt32.max, region: 7, at: 0x10)
        #expect(try bench.read(UInt32.self, region: 7, at: 0x10) == 0xffff_f000)
    }

    @Test func theAnnouncedMaximumIsWrittenAndNoMore() throws {
        let bench = try Bench("bochs-display")
        let data = (0..<1 << 20).map { UInt8(truncatingIfNeeded: $0 ^ $0 >> 8) }
        try bench.call(.regionWrite, request(0, 0, data))
        let reply = try bench.call(.regionRead, wire(UInt64(0), UInt32(0), UInt32(1 << 20)))
        #expect(Array(reply.payload.dropFirst(16)) == data)
        try bench.expectRefusal(.invalidArgument, of: .regionWrite, request(0, 0, data + [1]))
    }

    @Test func outsideARegionIsInvalidAndNothingIsWritten() throws {
        for (region, offset) in [
            (0, 4096), (0, 4093), (0, .max), (0, .max - 3), (1, 13), (3, 0), (6, 0), (7, 4093), (8, 0), (9, 0),
            (.max, 0),
        ] as [(UInt32, UInt64)] {
            try bench.expectRefusal(.invalidArgument, of: .regionWrite, request(region, offset, [1, 2, 3, 4]))
        }
        #expect(try bench.read(UInt64.self, at: 0x68) == 0)
    }

    @Test func countAndLengthMustAgree() throws {
        for count in [0, 3, 5, .max] as [UInt32] {
            try bench.expectRefusal(.invalidArgument, of: .regionWrite, request(0, 4, [1, 2, 3, 4], count: count))
        }
        for payload in wrongLengths(of: request(0, 4, [])) {
            try bench.expectRefusal(.invalidArgument, of: .regionWrite, payload)
        }
        #expect(try bench.read(UInt32.self, at: 4) == 0)
    }

    @Test func postedWritesAreCarriedOutInOrder() throws {
        for value in 1...50 as ClosedRange<UInt32> {
            try bench.client.send(.regionWrite, request(0, 4, wire(value)), flags: .noReply)
        }
        #expect(try bench.read(UInt32.self, at: 4) == 50)
        #expect(try bench.read(UInt64.self, at: 0x68) == 50)
    }
}
