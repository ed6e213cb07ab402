import FakeGuest
import Linux
import Testing
import VFIO

/// VFIO_USER_REGION_READ
@Suite struct RegionReadTests {
    private let bench: Bench

    init() throws {
        bench = try Bench()
    }

    private func request(_ region: UInt32, _ offset: UInt64, _ count: UInt32) -> [UInt8] {
        wire(offset, region, count)
    }

    @Test func theReplyRepeatsTheRequestBeforeTheData() throws {
        let reply = try bench.call(.regionRead, request(0, 0, 4))
        #expect(reply.payload == request(0, 0, 4) + wire(UInt32(0x0001_11e9)))
    }

    @Test func anyWidthAndAlignmentIsRead() throws {
        try bench.write(UInt64(0x8877_6655_4433_2211), at: 8)
        for count in 1...8 as ClosedRange<UInt32> {
            let bytes = [0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88] as [UInt8]
            for offset in 0...(8 - count) {
                let reply = try bench.call(.regionRead, request(0, 8 + UInt64(offset), count))
                #expect(Array(reply.payload.dropFirst(16)) == Array(bytes[Int(offset)..<Int(offset + count)]))
            }
        }
    }

    @Test func nothingIsReadFromNowhere() throws {
        #expect(try bench.call(.regionRead, request(0, 4096, 0)).payload == request(0, 4096, 0))
    }

    @Test func aMappedRegionIsReadByMessageToo() throws {
        try bench.write(UInt32(7), region: 2, at: 0x1000)
        // Trapped registers, mapped memory, and what is behind it, all at once.
        let reply = try bench.call(.regionRead, request(2, 0, 128 << 10))
        #expect(reply.payload.number(UInt32.self, at: 16) == 64 << 10)
        #expect(reply.payload.number(UInt32.self, at: 16 + 0x1000) == 7)
    }

    @Test func theAnnouncedMaximumIsReadAndNoMore() throws {
        let bench = try Bench("bochs-display")
        #expect(try bench.call(.regionRead, request(0, 0, 1 << 20)).payload.count == 16 + (1 << 20))
        try bench.expectRefusal(.invalidArgument, of: .regionRead, request(0, 0, (1 << 20) + 1))
        try bench.expectRefusal(.invalidArgument, of: .regionRead, request(0, 0, .max))
    }

    @Test func outsideARegionIsInvalid() throws {
        for (region, offset, count) in [
            (0, 4096, 1), (0, 4095, 2), (0, 0, 4097), (0, .max, 1), (0, .max, .max), (0, .max - 3, 8), (1, 13, 4),
            (3, 0, 1), (3, 0, 0), (6, 0, 1), (7, 4096, 1), (7, 4095, 2), (8, 0, 1), (9, 0, 1), (.max, 0, 0),
        ] as [(UInt32, UInt64, UInt32)] {
            try bench.expectRefusal(.invalidArgument, of: .regionRead, request(region, offset, count))
        }
    }

    @Test func theRequestHasOneLength() throws {
        for payload in wrongLengths(of: request(0, 0, 4)) {
            try bench.expectRefusal(.invalidArgument, of: .regionRead, payload)
        }
    }

    @Test func aReadThatWantsNoReplyStillReads() throws {
        let before = try bench.read(UInt64.self, at: 0x60)
        try bench.post(.regionRead, request(0, 0, 4))
        #expect(try bench.read(UInt64.self, at: 0x60) == before + 2)
    }

    /// Below and above the size from which memory is sent without a copy.
    @Test(arguments: [8, 16383, 16384, 16385, 65536])
    func mappedMemoryIsReadAsItIs(count: Int) throws {
        let bench = try Bench("bochs-display")
        let pattern = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 8) }
        try bench.call(.regionWrite, wire(UInt64(3), UInt32(0), UInt32(count)) + pattern)
        let reply = try bench.call(.regionRead, wire(UInt64(3), UInt32(0), UInt32(count)))
        #expect(Array(reply.payload.dropFirst(16)) == pattern)
        #expect(reply.payload.prefix(16) == wire(UInt64(3), UInt32(0), UInt32(count))[...])
    }
}
