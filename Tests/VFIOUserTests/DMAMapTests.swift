import FakeGuest
import Linux
import Testing
import VFIO

/// VFIO_USER_DMA_MAP
@Suite struct DMAMapTests {
    private func request(
        _ address: UInt64, _ size: UInt64 = 4096, flags: UInt32 = 3, offset: UInt64 = 0, argumentSize: UInt32 = 32
    ) -> [UInt8] {
        fields(argumentSize, flags, offset, address, size)
    }

    @Test func aMappedFileIsTheDevicesMemory() throws {
        let device = try ServedDevice("exerciser")
        let client = try device.client()
        let memory = try MemoryFile(name: "guest", size: 8192)
        try client.map(address: 0x10_0000, size: 8192, file: memory.descriptor)
        try fill(client, 0x10_0ff0, 32, with: 0x5a)
        #expect(memory.mapping.base.load(fromByteOffset: 0xff0, as: UInt64.self) == 0x5a5a_5a5a_5a5a_5a5a)
        #expect(memory.mapping.base.load(fromByteOffset: 0x1010, as: UInt8.self) == 0)
    }

    @Test func aMapOfAnOffsetShowsThatPartOfTheFile() throws {
        let device = try ServedDevice("exerciser")
        let client = try device.client()
        let memory = try MemoryFile(name: "guest", size: 8192)
        try client.map(address: 0, size: 4096, file: memory.descriptor, offset: 4096)
        try fill(client, 0, 1, with: 7)
        #expect(memory.mapping.base.load(fromByteOffset: 4096, as: UInt8.self) == 7)
    }

    @Test func accessesRunAcrossMapsThatAdjoin() throws {
        let device = try ServedDevice("exerciser")
        let client = try device.client()
        let first = try MemoryFile(name: "first", size: 4096)
        let second = try MemoryFile(name: "second", size: 4096)
        try client.map(address: 0x2000, size: 4096, file: second.descriptor)
        try client.map(address: 0x1000, size: 4096, file: first.descriptor)
        try fill(client, 0x1f00, 512, with: 9)
        #expect(first.mapping.base.load(fromByteOffset: 0xfff, as: UInt8.self) == 9)
        #expect(second.mapping.base.load(fromByteOffset: 0xff, as: UInt8.self) == 9)
        #expect(second.mapping.base.load(fromByteOffset: 0x100, as: UInt8.self) == 0)
    }

    @Test func overlapsExist() throws {
        let connection = try Connection()
        #expect(try connection.raw.call(.dmaMap, request(0x1000, 0x2000)).errno == nil)
        for (address, size) in [(0x1000, 0x2000), (0x1000, 0x1000), (0x2000, 0x1000), (0, 0x2000), (0, 0x10000)] {
            try connection.expect(.fileExists, .dmaMap, request(UInt64(address), UInt64(size)))
        }
        #expect(try connection.raw.call(.dmaMap, request(0x3000)).errno == nil)
    }

    @Test func rangesThatCannotBeAreInvalid() throws {
        let connection = try Connection()
        try connection.expect(.invalidArgument, .dmaMap, request(0, 0), "no size")
        try connection.expect(.invalidArgument, .dmaMap, request(0x800, 4096), "unaligned address")
        try connection.expect(.invalidArgument, .dmaMap, request(0, 100), "unaligned size")
        try connection.expect(.invalidArgument, .dmaMap, request(UInt64.max - 4095, 8192), "wraps around")
        try connection.expect(.invalidArgument, .dmaMap, request(8192, UInt64.max - 4095), "wraps around by one page")
        #expect(try connection.raw.call(.dmaMap, request(UInt64.max - 4095, 4096)).errno == nil, "the last page")
    }

    @Test func flagsAndSizesAreChecked() throws {
        let connection = try Connection()
        try connection.expect(.invalidArgument, .dmaMap, request(0, flags: 0), "no access")
        try connection.expect(.invalidArgument, .dmaMap, request(0, flags: 4), "an unknown flag")
        try connection.expect(.invalidArgument, .dmaMap, request(0, argumentSize: 31))
        try connection.expect(.invalidArgument, .dmaMap, request(0, offset: 4096), "an offset without a file")
        try connection.expectOnlyThisLength(.dmaMap, request(0))
    }

    @Test func descriptorsAreChecked() throws {
        let connection = try Connection()
        let file = try MemoryFile(name: "mapped-wrong", size: 4096)
        let raw = file.descriptor.raw
        try connection.expect(.invalidArgument, .dmaMap, request(0), descriptors: [raw, raw], "two descriptors")
        try connection.expect(.invalidArgument, .dmaMap, request(0, 8192), descriptors: [raw], "beyond the file")
        try connection.expect(
            .invalidArgument, .dmaMap, request(0, offset: 100), descriptors: [raw], "unaligned offset")
        try connection.expect(
            .invalidArgument, .dmaMap, request(0, offset: UInt64.max - 4095), descriptors: [raw], "offset overflow")
        let event = try EventFD()
        let reply = try connection.raw.call(.dmaMap, request(0), descriptors: [event.descriptor.raw])
        #expect(reply.isError, "an eventfd can't be mapped")
        let readOnly = try Descriptor(reading: "/proc/self/fd/\(raw)")
        try connection.expect(.permissionDenied, .dmaMap, request(0), descriptors: [readOnly.raw])
        #expect(try connection.raw.call(.dmaMap, request(0, flags: 1), descriptors: [readOnly.raw]).errno == nil)
        #expect(try openDescriptors(ofMemoryFile: "mapped-wrong") == 2)
    }

    @Test func readOnlyMapsRefuseWrites() throws {
        let device = try ServedDevice("exerciser")
        let client = try device.client()
        let memory = try MemoryFile(name: "guest", size: 4096)
        try client.map(address: 0, size: 4096, file: memory.descriptor, flags: .read)
        try command(client, .fill, destination: 16, length: 4)
        #expect(try client.read(UInt32.self, region: 0, offset: 0x3c) == 4)
        #expect(try client.read(UInt64.self, region: 0, offset: 0x40) == 16)
        try command(client, .load, source: 0, length: 4)
        #expect(try client.read(UInt32.self, region: 0, offset: 0x3c) == 0)
    }

    @Test func aFileThatIsCutOffFailsOnlyTheAccess() throws {
        let device = try ServedDevice("exerciser")
        let client = try device.client()
        let cut = try GrowableFile(size: 8192)
        let whole = try MemoryFile(name: "whole", size: 4096)
        try client.map(address: 0, size: 8192, file: cut.descriptor)
        try client.map(address: 0x10000, size: 4096, file: whole.descriptor)
        try cut.resize(to: 4096)
        try command(client, .load, source: 4096, length: 64)
        #expect(try client.read(UInt32.self, region: 0, offset: 0x3c) == 5)
        try fill(client, 0x10000, 8, with: 3)
        #expect(whole.mapping.base.load(as: UInt8.self) == 3)
    }

    @Test func asManyMapsAsAnnouncedAndNoMore() throws {
        let device = try ServedDevice("exerciser")
        let memory = try MemoryFile(name: "many", size: 4096)
        let raw = try device.rawClient()
        try raw.negotiate()
        // Posted, so that the test takes one answer instead of 65,535.
        for number in 0..<65_535 as Range<UInt64> {
            try raw.send(
                RawClient.message(2, id: 1, flags: 0x10, payload: request(number * 8192)),
                descriptors: number % 1000 == 0 ? [memory.descriptor.raw] : [])
        }
        #expect(try raw.call(.dmaMap, request(65_535 * 8192)).errno == .noSpace)
        #expect(try raw.call(.dmaMap, request(0)).errno == .fileExists)
        #expect(try raw.call(.dmaUnmap, fields(UInt32(24), UInt32(2), UInt64(0), UInt64(0))).errno == nil)
        #expect(try raw.call(.dmaMap, request(65_535 * 8192)).errno == nil)
    }
}
