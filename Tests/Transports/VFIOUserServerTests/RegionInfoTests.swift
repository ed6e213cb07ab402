import FakeGuest
import Linux
import Testing
import VFIO

/// VFIO_USER_DEVICE_GET_REGION_INFO
@Suite struct RegionInfoTests {
    private func request(_ index: UInt32, argsz: UInt32 = 32) -> [UInt8] {
        wire(argsz, UInt32(0), index, UInt32(0), UInt64(0), UInt64(0))
    }

    private func info(_ bench: Bench, _ index: UInt32, argsz: UInt32 = 4096) throws -> (RegionInfo.Reply, files: Int) {
        let reply = try bench.call(.deviceGetRegionInfo, request(index, argsz: argsz))
        return (try RegionInfo.Reply(reply.payload.span.bytes), reply.files.count)
    }

    @Test func theRegionsAreThoseOfAPCIDevice() throws {
        let bench = try Bench()
        let sizes = try (0..<9 as Range<UInt32>).map { try info(bench, $0).0.info.length }
        #expect(sizes == [4096, 16, 128 << 10, 0, 4096, 4096, 0, 4096, 0])
        #expect(try info(bench, 7).0.info.flags == [.read, .write])
        #expect(try info(bench, 3).0.info.flags == [])
    }

    @Test func aRegionThatIsMappedInPartTakesTwoSteps() throws {
        let bench = try Bench()
        for argsz in [32, 63] as [UInt32] {
            let (first, files) = try info(bench, 2, argsz: argsz)
            #expect(first.argumentSize == 64 && files == 0)
            #expect(first.info.flags == [.read, .write] && first.info.sparseAreas.isEmpty)
        }
        let (second, files) = try info(bench, 2, argsz: 64)
        #expect(files == 1)
        #expect(second.info.flags == [.read, .write, .mmap])
        #expect(second.info.sparseAreas == [.init(offset: 4096, size: 64 << 10)])
    }

    @Test func theDescriptorShowsTheRegion() throws {
        let bench = try Bench("bochs-display")
        let reply = try bench.call(.deviceGetRegionInfo, request(0))
        let answer = try RegionInfo.Reply(reply.payload.span.bytes)
        #expect(answer.info.flags == [.read, .write, .mmap] && answer.info.sparseAreas.isEmpty)
        #expect(reply.files.count == 1)
        let mapping = try Mapping(
            of: try #require(reply.files.first).descriptor, at: answer.info.offset, size: Int(answer.info.length))
        try bench.write(UInt32(0x1234_5678), at: 0x8000)
        #expect(mapping.base.load(fromByteOffset: 0x8000, as: UInt32.self) == 0x1234_5678)
    }

    @Test func onlyRegionsThatCanBeMappedHaveADescriptor() throws {
        let bench = try Bench("serial")
        for index in 0..<9 as Range<UInt32> {
            let (answer, files) = try info(bench, index)
            #expect(files == 0 && !answer.info.flags.contains(.mmap))
        }
    }

    @Test func aRequestAsLongAsItsAnswerIsFine() throws {
        let bench = try Bench()
        let payload = request(2, argsz: 64) + Array(repeating: 0, count: 32)
        #expect(try bench.call(.deviceGetRegionInfo, payload).payload.count == 64)
        try bench.expectRefusal(.invalidArgument, of: .deviceGetRegionInfo, payload + [0])
    }

    @Test(arguments: [9, 10, 0x7fff_ffff, .max] as [UInt32])
    func noOtherRegionExists(_ index: UInt32) throws {
        try Bench().expectRefusal(.invalidArgument, of: .deviceGetRegionInfo, request(index))
    }

    @Test func wrongRequestsAreInvalid() throws {
        let bench = try Bench()
        for payload in wrongLengths(of: request(0)) + [request(0, argsz: 31), request(0, argsz: 0)] {
            try bench.expectRefusal(.invalidArgument, of: .deviceGetRegionInfo, payload)
        }
    }

    @Test func anUnwantedReplySendsNoDescriptorEither() throws {
        let bench = try Bench("bochs-display")
        try bench.client.send(.deviceGetRegionInfo, request(0), flags: .noReply)
        let reply = try bench.call(.deviceGetInfo, wire(UInt32(16), UInt32(0), UInt32(0), UInt32(0)))
        #expect(reply.files.isEmpty)
    }
}
