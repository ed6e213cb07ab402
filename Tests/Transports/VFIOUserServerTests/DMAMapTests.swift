import FakeGuest
import Glibc
import Linux
import Testing
import VFIO

/// VFIO_USER_DMA_MAP
@Suite struct DMAMapTests {
    private let bench: Bench
    private let memory: GuestRAM
    private var file: Int32 { memory.file.descriptor.raw }

    init() throws {
        bench = try Bench()
        memory = try GuestRAM(at: 0x10000, size: 0x4000)
    }

    private func map(
        argsz: UInt32 = 32, flags: UInt32 = 3, offset: UInt64 = 0, address: UInt64 = 0x10000, size: UInt64 = 0x4000
    ) -> [UInt8] {
        wire(argsz, flags, offset, address, size)
    }

    @Test func theDeviceReachesMappedMemory() throws {
        let reply = try bench.call(.dmaMap, map(), descriptors: [file])
        #expect(reply.payload.isEmpty)
        memory.store([1, 2, 3, 4], at: 0)
        #expect(try bench.transfer(Bench.copy, from: 0x10000, to: 0x13000, length: 4) == 0)
        #expect(memory.bytes(at: 0x3000, count: 4) == [1, 2, 3, 4])
    }

    @Test func theFilesOffsetCounts() throws {
        try bench.call(.dmaMap, map(offset: 0x1000, size: 0x1000), descriptors: [file])
        memory.store([9, 8, 7], at: 0x1000)
        #expect(try bench.transfer(Bench.load, from: 0x10000, length: 3) == 0)
        #expect(try bench.read(UInt16.self, region: 2, at: 0x1000) == 0x0809)
    }

    @Test func memoryIsOnlyUsedAsAllowed() throws {
        try bench.call(.dmaMap, map(flags: 1), descriptors: [file])
        #expect(try bench.transfer(Bench.fill, to: 0x10000, length: 1) == 4)
        #expect(try bench.transfer(Bench.load, from: 0x10000, length: 1) == 0)
    }

    @Test func theLastPageCanBeMapped() throws {
        try bench.call(.dmaMap, map(address: .max - 4095, size: 4096), descriptors: [file])
        #expect(try bench.transfer(Bench.fill, to: .max, length: 1) == 0)
    }

    @Test func oneDescriptorIsKeptHoweverManyMapsShowAFile() throws {
        for number in 0..<4 as Range<UInt64> {
            let payload = map(offset: number << 12, address: number << 16, size: 4096)
            try bench.call(.dmaMap, payload, descriptors: [file])
        }
        try bench.expectAlive()
        #expect(memory.file.descriptor.openCount(settlingAt: 2) == 2, "with the test's own")
    }

    @Test func wrongRangesAreInvalid() throws {
        for payload in [
            map(argsz: 31), map(flags: 0), map(flags: 4), map(flags: 0x8000_0003), map(offset: 1),
            map(offset: 0x1000), map(offset: .max - 4095), map(address: 1), map(size: 0), map(size: 4095),
            map(size: 0x5000), map(address: .max - 4095, size: 0x2000), map(size: .max - 4095),
        ] {
            try bench.expectRefusal(.invalidArgument, of: .dmaMap, payload, descriptors: [file])
        }
        #expect(memory.file.descriptor.openCount(settlingAt: 1) == 1)
        try bench.call(.dmaMap, map(), descriptors: [file])
    }

    @Test func theRequestHasOneLength() throws {
        for payload in wrongLengths(of: map()) {
            try bench.expectRefusal(.invalidArgument, of: .dmaMap, payload, descriptors: [file])
        }
        #expect(memory.file.descriptor.openCount(settlingAt: 1) == 1)
    }

    @Test func overlapsExist() throws {
        try bench.call(.dmaMap, map(), descriptors: [file])
        for (address, size) in [(0x10000, 0x4000), (0xf000, 0x2000), (0x13000, 0x1000), (0x11000, 0x1000)] {
            let overlap = map(address: UInt64(address), size: UInt64(size))
            try bench.expectRefusal(.fileExists, of: .dmaMap, overlap, descriptors: [file])
        }
        try bench.call(.dmaMap, map(address: 0x14000), descriptors: [file])
    }

    @Test func twoDescriptorsAreInvalid() throws {
        try bench.expectRefusal(.invalidArgument, of: .dmaMap, map(), descriptors: [file, file])
        #expect(memory.file.descriptor.openCount(settlingAt: 1) == 1)
    }

    /// A file of a file system might keep the device waiting for its pages.
    @Test(arguments: ["/proc/self/exe", "/proc/self/status", "/dev/zero"])
    func theClientMovesTheBytesOfWhatIsNoMemory(_ path: String) throws {
        let file = try Descriptor(reading: path)
        try bench.call(.dmaMap, map(offset: 0x1000), descriptors: [file.raw])
        try bench.startTransfer(Bench.load, from: 0x10000, length: 4)
        let request = try #require(try bench.client.receive())
        #expect(request.header.command == Command.dmaRead.rawValue)
        try bench.client.send(message(.dmaRead, id: request.header.id, request.payload + [1, 2, 3, 4], flags: .reply))
        #expect(try bench.client.receive()?.errno == nil)
        #expect(try bench.read(UInt32.self, region: 2, at: 0x1000) == 0x0403_0201)
        #expect(file.openCount(settlingAt: 1) == 1)
    }

    @Test func aFileThatMayNotBeWrittenIsNotMappedForWriting() throws {
        let readOnly = try Descriptor(reading: "/proc/self/fd/\(memory.file.descriptor.raw)")
        try bench.expectRefusal(.permissionDenied, of: .dmaMap, map(), descriptors: [readOnly.raw])
        try bench.call(.dmaMap, map(flags: 1), descriptors: [readOnly.raw])
    }

    @Test func memoryWithoutADescriptorHasNoOffset() throws {
        try bench.expectRefusal(.invalidArgument, of: .dmaMap, map(offset: 0x1000))
        try bench.call(.dmaMap, map())
    }

    @Test func aMapThatWantsNoReplyIsMade() throws {
        try bench.post(.dmaMap, map(), descriptors: [file])
        #expect(try bench.transfer(Bench.fill, to: 0x10000, length: 1) == 0)
    }

    @Test func whatHoldsNoBytesAtOffsetsIsRefused() throws {
        var ends: [Int32] = [0, 0]
        #expect(pipe(&ends) == 0)
        let pair = try UnixSocket.pair()
        let event = try EventFD()
        let folder = open("/tmp", O_RDONLY | O_DIRECTORY)
        defer { for descriptor in ends + [folder] { close(descriptor) } }
        for descriptor in ends + [folder, event.descriptor.raw, pair.first.descriptor.raw] {
            for flags in [1, 2, 3] as [UInt32] {
                try bench.expectRefusal(
                    .operationNotSupportedByDevice, of: .dmaMap, map(flags: flags), descriptors: [descriptor])
            }
        }
        try bench.call(.dmaMap, map(), descriptors: [file])
    }
}
