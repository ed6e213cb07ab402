import FakeGuest
import Linux
import Testing
import VFIO

/// VFIO_USER_DEVICE_GET_REGION_INFO
@Suite struct RegionInfoTests {
    private func request(_ index: UInt32, argumentSize: UInt32 = 32) -> [UInt8] {
        fields(argumentSize, UInt32(0), index, UInt32(0), UInt64(0), UInt64(0))
    }

    @Test func aTrappedRegionHasSizeAndRights() throws {
        let connection = try Connection()
        let reply = try connection.raw.call(.deviceGetRegionInfo, request(0))
        #expect(reply.payload == fields(UInt32(32), UInt32(3), UInt32(0), UInt32(0), UInt64(4096), UInt64(0)))
        #expect(reply.descriptorCount == 0)
    }

    @Test func aWhollyMappedRegionNeedsNoList() throws {
        let connection = try Connection("bochs-display")
        let reply = try connection.raw.call(.deviceGetRegionInfo, request(0))
        #expect(reply.payload.number(UInt32.self, at: 4) == 7)
        #expect(reply.payload.number(UInt64.self, at: 16) == 16 << 20)
        #expect(reply.descriptorCount == 1)
    }

    @Test func sparseAreasComeInTheSecondStep() throws {
        let connection = try Connection()
        let first = try connection.raw.call(.deviceGetRegionInfo, request(2))
        #expect(first.payload.count == 32)
        #expect(first.payload.number(UInt32.self, at: 0) == 64)
        #expect(first.payload.number(UInt32.self, at: 4) == 3, "neither MMAP nor CAPS before the list is told")
        #expect(first.descriptorCount == 0)

        let second = try connection.raw.call(.deviceGetRegionInfo, request(2, argumentSize: 64))
        #expect(second.payload.number(UInt32.self, at: 4) == 15)
        #expect(second.payload.number(UInt32.self, at: 12) == 32)
        #expect(
            Array(second.payload[32...])
                == fields(
                    UInt16(1), UInt16(1), UInt32(0), UInt32(1), UInt32(0), UInt64(4096), UInt64(64 << 10)))
        #expect(second.descriptorCount == 1)
    }

    @Test func theMappedPartIsWhatMessagesReadAndWrite() throws {
        let device = try ServedDevice("exerciser")
        let client = try device.client()
        let mapping = try client.region(2).map(at: 4096, size: 4096)
        mapping.base.storeBytes(of: 0x1234_5678, as: UInt32.self)
        #expect(try client.read(UInt32.self, region: 2, offset: 4096) == 0x1234_5678)
        try client.write(UInt32(0x9abc_def0), region: 2, offset: 4100)
        #expect(mapping.base.load(fromByteOffset: 4, as: UInt32.self) == 0x9abc_def0)
    }

    @Test func theTrappedPartCannotBeMapped() throws {
        let device = try ServedDevice("exerciser")
        let client = try device.client()
        let region = try client.region(2)
        #expect(throws: (any Error).self) { try region.map(at: 0, size: 4096) }
    }

    @Test(arguments: [3, 5, 6, 8] as [UInt32])
    func aRegionThatIsNotThereHasSizeZero(index: UInt32) throws {
        let connection = try Connection()
        let reply = try connection.raw.call(.deviceGetRegionInfo, request(index))
        #expect(reply.errno == nil)
        #expect(reply.payload.number(UInt64.self, at: 16) == 0)
        #expect(reply.payload.number(UInt32.self, at: 4) == 0)
    }

    @Test func expressFunctionsHaveExtendedConfigurationSpace() throws {
        #expect(try Connection().raw.call(.deviceGetRegionInfo, request(7)).payload.number(UInt64.self, at: 16) == 4096)
        #expect(
            try Connection("serial").raw.call(.deviceGetRegionInfo, request(7)).payload.number(UInt64.self, at: 16)
                == 256)
    }

    @Test(arguments: [9, 10, UInt32.max])
    func anIndexBeyondTheLastIsInvalid(index: UInt32) throws {
        try Connection().expect(.invalidArgument, .deviceGetRegionInfo, request(index))
    }

    @Test func wrongSizesAreInvalid() throws {
        let connection = try Connection()
        try connection.expectOnlyThisLength(.deviceGetRegionInfo, request(0))
        try connection.expect(.invalidArgument, .deviceGetRegionInfo, request(0, argumentSize: 31))
        try connection.expect(.invalidArgument, .deviceGetRegionInfo, request(0, argumentSize: 0))
    }

    @Test func aHugeArgumentSizeIsNoHarm() throws {
        let reply = try Connection().raw.call(.deviceGetRegionInfo, request(2, argumentSize: .max))
        #expect(reply.errno == nil)
        #expect(reply.payload.count == 64)
    }
}
