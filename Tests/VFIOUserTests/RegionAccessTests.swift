import FakeGuest
import Linux
import Testing
import VFIO
import VFIOUser

/// VFIO_USER_REGION_READ, VFIO_USER_REGION_WRITE
@Suite struct RegionAccessTests {
    private func access(_ region: UInt32, _ offset: UInt64, _ count: UInt32) -> [UInt8] {
        fields(offset, region, count)
    }

    @Test func theReplyRepeatsTheRequestWithTheData() throws {
        let reply = try Connection().raw.call(.regionRead, access(0, 0, 4))
        #expect(reply.payload == access(0, 0, 4) + fields(UInt32(0x0001_11e9)))
    }

    @Test func aWriteIsAnsweredWithoutData() throws {
        let connection = try Connection()
        let reply = try connection.raw.call(.regionWrite, access(0, 4, 4) + fields(UInt32(0x1234_5678)))
        #expect(reply.payload == access(0, 4, 4))
        #expect(try connection.raw.call(.regionRead, access(0, 4, 4)).payload.suffix(4) == [0x78, 0x56, 0x34, 0x12])
    }

    @Test(arguments: [1, 2, 3, 4, 5, 7, 8, 16, 32])
    func anyWidthReachesTheRegisters(count: Int) throws {
        let device = try ServedDevice("exerciser")
        let client = try device.client()
        try client.write(UInt32(0x0403_0201), region: 0, offset: 4)
        try client.write(UInt64(0x0c0b_0a09_0807_0605), region: 0, offset: 8)
        let bytes = try client.read(region: 0, offset: 4, count: count)
        let registers: [UInt8] = (1...12).map { $0 } + [UInt8](repeating: 0, count: 20)
        #expect(bytes == Array(registers.prefix(count)))
    }

    @Test func noBytesAreNoError() throws {
        let reply = try Connection().raw.call(.regionRead, access(0, 0, 0))
        #expect(reply.payload == access(0, 0, 0))
    }

    @Test(
        arguments: [
            (0, 4096, 1), (0, 4095, 2), (0, 0, 4097), (0, .max, 1), (0, .max - 3, 4), (3, 0, 1), (5, 0, 1), (6, 0, 1),
            (7, 4096, 1), (7, 4093, 4), (8, 0, 1), (9, 0, 1), (.max, 0, 1),
        ] as [(UInt32, UInt64, UInt32)])
    func outsideTheRegionIsInvalid(region: UInt32, offset: UInt64, count: UInt32) throws {
        let connection = try Connection()
        try connection.expect(.invalidArgument, .regionRead, access(region, offset, count))
        try connection.expect(
            .invalidArgument, .regionWrite,
            access(region, offset, count) + [UInt8](repeating: 0, count: Int(count)))
    }

    @Test func aCountThatIsNotThereIsInvalid() throws {
        let connection = try Connection()
        try connection.expectOnlyThisLength(.regionRead, access(0, 0, 4))
        try connection.expect(.invalidArgument, .regionWrite, access(0, 4, 4) + [1, 2, 3])
        try connection.expect(.invalidArgument, .regionWrite, access(0, 4, 4) + [1, 2, 3, 4, 5])
        try connection.expect(.invalidArgument, .regionWrite, access(0, 4, .max))
        try connection.expect(.invalidArgument, .regionRead, access(0, 0, .max))
        #expect(try connection.raw.call(.regionRead, access(0, 4, 4)).payload.suffix(4) == [0, 0, 0, 0])
    }

    @Test func theAnnouncedMaximumWorksAndOneMoreDoesNot() throws {
        let connection = try Connection("bochs-display")
        let data = (0..<(1 << 20)).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ $0 >> 8) }
        #expect(try connection.raw.call(.regionWrite, access(0, 4096, 1 << 20) + data).errno == nil)
        let reply = try connection.raw.call(.regionRead, access(0, 4096, 1 << 20))
        #expect(reply.payload.dropFirst(16).elementsEqual(data))
        try connection.expect(.invalidArgument, .regionRead, access(0, 0, 1 << 20 + 1))
    }

    @Test func postedWritesKeepTheirOrder() throws {
        let device = try ServedDevice("exerciser")
        let client = try device.client()
        for number in 1...1000 as ClosedRange<UInt32> {
            try client.write(number, region: 0, offset: 4, isPosted: true)
        }
        #expect(try client.read(UInt32.self, region: 0, offset: 4) == 1000)
        #expect(try client.read(UInt64.self, region: 0, offset: 0x68) == 1000)
    }

    @Test func pipelinedCommandsAreAnsweredInOrder() throws {
        let connection = try Connection()
        for number in 0..<64 as Range<UInt16> {
            try connection.raw.send(
                RawClient.message(10, id: number, payload: access(0, 4, 4) + fields(UInt32(number))))
            try connection.raw.send(RawClient.message(9, id: 1000 + number, payload: access(0, 4, 4)))
        }
        for number in 0..<64 as Range<UInt16> {
            #expect(try connection.raw.receive().id == number)
            let read = try connection.raw.receive()
            #expect(read.id == 1000 + number)
            #expect(read.payload.number(UInt32.self, at: 16) == UInt32(number))
        }
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

    @Test func wrongMultipleWritesAreInvalid() throws {
        let connection = try Connection()
        let write = fields(UInt64(4), UInt32(0), UInt32(4), UInt64(9))
        #expect(
            try connection.raw.call(.regionWriteMulti, fields(UInt64(1)) + write).payload == fields(UInt64(1)))
        try connection.expect(.invalidArgument, .regionWriteMulti, [])
        try connection.expect(.invalidArgument, .regionWriteMulti, fields(UInt64(2)) + write)
        try connection.expect(.invalidArgument, .regionWriteMulti, fields(UInt64(0)) + write)
        try connection.expect(.invalidArgument, .regionWriteMulti, fields(UInt64.max) + write)
        try connection.expect(.invalidArgument, .regionWriteMulti, fields(UInt64(1)) + write + [0])
        for count in [0, 9, UInt32.max] {
            try connection.expect(
                .invalidArgument, .regionWriteMulti,
                fields(UInt64(1)) + fields(UInt64(4), UInt32(0), count, UInt64(9)))
        }
    }

    @Test func multipleWritesMustHaveBeenAgreedOn() throws {
        let device = try ServedDevice("exerciser")
        let raw = try device.rawClient()
        try raw.negotiate("{}")
        #expect(try raw.call(.regionWriteMulti, fields(UInt64(0))).errno == .inappropriateIOCTLForDevice)
    }

    @Test func theROMCannotBeWritten() throws {
        try Connection("bochs-display").expect(.invalidArgument, .regionWrite, access(6, 0, 1) + [0])
    }
}
