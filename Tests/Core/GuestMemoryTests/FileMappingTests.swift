import GuestMemory
import Glibc
import Linux
import Testing

@Suite struct FileMappingTests {
    let memory = AddressSpace()

    @Test func aReadOnlyFileIsNotMappedForWriting() throws {
        let file = try GuestFile(pages: 1)
        for access in [.write, [.read, .write]] as [DMAAccess] {
            #expect(throws: MapError.fileAccess(access)) {
                try memory.map(
                    address: 0, size: page, access: access,
                    backing: .file(try Descriptor(reading: "/proc/self/fd/\(file.descriptor.raw)"), offset: 0))
            }
        }
        #expect(MapError.fileAccess(.write).errno == .permissionDenied)
        try memory.map(
            address: 0, size: page, access: .read,
            backing: .file(try Descriptor(reading: "/proc/self/fd/\(file.descriptor.raw)"), offset: 0))
        #expect(try memory.load(UInt32.self, at: 0) == 0)
    }

    @Test func aWritableMappingDoesNotServeAReadOnlyDescriptor() throws {
        let file = try GuestFile(pages: 1)
        try memory.map(0, pages: 1, of: file)
        #expect(throws: MapError.fileAccess(.write)) {
            try memory.map(
                address: page, size: page, access: .write,
                backing: .file(try Descriptor(reading: "/proc/self/fd/\(file.descriptor.raw)"), offset: 0))
        }
    }

    @Test func aMapCanBeHandedOn() throws {
        let file = try GuestFile(pages: 4)
        try memory.map(page, pages: 2, of: file, at: page)
        try memory.map(4 * page, pages: 1, of: file, at: 3 * page, .read)
        #expect(file.descriptorCount == 2, "the test's own, and one for all maps of the file")
        let map = try #require(memory.shareableMap(at: page + 5))
        #expect(map.address == page && map.last == 3 * page - 1 && map.offset == page && map.access == [.read, .write])
        let bytes = try Mapping(of: map.descriptor, at: map.offset, size: 4096)
        try memory.store(UInt32(77), at: page)
        #expect(bytes.base.load(as: UInt32.self) == 77)
        #expect(memory.shareableMap(at: 4 * page)?.access == .read)
        #expect(memory.shareableMap(at: 3 * page) == nil)
        try memory.map(8 * page, pages: 1, of: FakeRemote(start: 8 * page, pages: 1))
        #expect(memory.shareableMap(at: 8 * page) == nil)
        memory.unmapAll()
        #expect(file.descriptorCount == 2, "whoever has it keeps it")
        _ = consume map
        #expect(file.descriptorCount == 1)
    }

    @Test func theDescriptorThatIsKeptCanDoAllThatMapsDo() throws {
        let file = try GuestFile(pages: 2)
        let readOnly = try Descriptor(reading: "/proc/self/fd/\(file.descriptor.raw)")
        try memory.map(
            address: 0, size: page, access: .read, backing: .file(try readOnly.duplicate(), offset: 0))
        try memory.map(page, pages: 1, of: file, at: page)
        #expect(file.descriptorCount == 3, "two of the test's, and one for both maps")
        for address in [0, page] {
            let map = try #require(memory.shareableMap(at: address))
            let bytes = try Mapping(of: map.descriptor, size: 8192)
            bytes.base.storeBytes(of: 5, toByteOffset: Int(address), as: UInt8.self)
            #expect(try memory.load(UInt8.self, at: address) == 5)
        }
        try memory.unmap(page, pages: 1)
        #expect(file.descriptorCount == 3)
        try memory.unmap(0, pages: 1)
        #expect(file.descriptorCount == 2)
    }

    @Test func moreFilesThanThereAreDescriptorsForAreRefused() throws {
        let memory = AddressSpace(maximumFiles: 3)
        let files = try (0..<4).map { _ in try GuestFile(pages: 2) }
        for index in 0..<3 { try memory.map(UInt64(index) * page, pages: 1, of: files[index]) }
        #expect(throws: MapError.system(.tooManyOpenFiles)) { try memory.map(3 * page, pages: 1, of: files[3]) }
        #expect(files[3].descriptorCount == 1)
        #expect(memory.mapCount == 3)
        try memory.map(3 * page, pages: 1, of: files[0], at: page)
        try memory.unmap(page, pages: 1)
        try memory.map(page, pages: 1, of: files[3])
        for index in 0..<4 { #expect(memory.shareableMap(at: UInt64(index) * page) != nil) }
    }

    @Test func aFunctionHasItsShareOfWhatTheProcessMayMap() throws {
        // So many functions that each has two mappings.
        let memory = AddressSpace(maximumFiles: 4, functions: ResourceLimit.mappedFiles / 2)
        let files = try (0..<3).map { _ in try GuestFile(pages: 1) }
        for index in 0..<2 { try memory.map(UInt64(index) * page, pages: 1, of: files[index]) }
        #expect(throws: MapError.system(.noMemory)) { try memory.map(2 * page, pages: 1, of: files[2]) }
        try memory.unmap(0, pages: 1)
        try memory.map(2 * page, pages: 1, of: files[2])
    }

    @Test(arguments: 1...8) func allFunctionsTogetherHaveNoMoreFilesThanOne(functions: Int) {
        let each = ResourceLimit.descriptorsForMaps(functions: functions)
        #expect(each > 0 && each * functions <= ResourceLimit.descriptorsForMaps())
    }

    @Test func theRangeMustLieInTheFile() throws {
        let file = try GuestFile(pages: 4)
        #expect(throws: MapError.beyondEndOfFile(offset: 0, size: 5 * page, fileSize: 4 * page)) {
            try memory.map(0, pages: 5, of: file)
        }
        #expect(throws: MapError.beyondEndOfFile(offset: 3 * page, size: 2 * page, fileSize: 4 * page)) {
            try memory.map(0, pages: 2, of: file, at: 3 * page)
        }
        let far = UInt64.max - (page - 1)
        #expect(throws: MapError.beyondEndOfFile(offset: far, size: page, fileSize: 4 * page)) {
            try memory.map(0, pages: 1, of: file, at: far)
        }
        #expect(throws: MapError.unalignedOffset(512)) { try memory.map(0, pages: 1, of: file, at: 512) }
        #expect(file.descriptorCount == 1)
        try memory.map(0, pages: 2, of: file, at: 2 * page)
        try memory.store(UInt8(9), at: 0)
        #expect(file.bytes(at: 2 * page, count: 1) == [9])
    }

    @Test func theLastPageOfAFileMayBePartOfIt() throws {
        let file = try GuestFile(pages: 1)
        try file.resize(page + 100)
        try memory.map(0, pages: 2, of: file)
        #expect(try memory.load(UInt8.self, at: page + 4000) == 0)
        #expect(throws: MapError.beyondEndOfFile(offset: page, size: 2 * page, fileSize: page + 100)) {
            try memory.map(4 * page, pages: 2, of: file, at: page)
        }
    }

    @Test(arguments: ["/proc/self/exe", "/proc/self/status", "/dev/zero"])
    func whatIsNoMemoryIsNotMapped(_ path: String) throws {
        let file = try Descriptor(reading: path)
        #expect(throws: MapError.notMemory) {
            try memory.map(address: 0, size: page, access: .read, backing: .file(try file.duplicate(), offset: 0))
        }
        #expect(memory.mapCount == 0)
    }

    @Test func manyMapsOfOneFileShareOneMapping() throws {
        let count: UInt64 = 65_535
        let file = try GuestFile(pages: Int(count))
        for index in 0..<count {
            // Every other page of addresses, so that no two maps adjoin.
            try memory.map(2 * index * page, pages: 1, of: file, at: index * page)
        }
        #expect(memory.mapCount == 65_535)
        #expect(file.descriptorCount == 2, "the test's own, and one for all maps")
        #expect(file.mappingCount == 1)
        #expect(throws: MapError.full(maximum: 65_535)) { try memory.map(2 * count * page, pages: 1, of: file) }
        for index in stride(from: 0, to: count, by: 4_999) {
            try memory.store(index, at: 2 * index * page + 8)
            #expect(file.bytes(at: index * page + 8, count: 8) == withUnsafeBytes(of: index, Array.init))
            #expect(throws: DMAError.notMapped(address: (2 * index + 1) * page)) {
                try memory.load(UInt8.self, at: (2 * index + 1) * page)
            }
        }
        for index in 0..<count - 1 { try memory.unmap(2 * index * page, pages: 1) }
        #expect(file.mappingCount == 1)
        try memory.unmap(2 * (count - 1) * page, pages: 1)
        #expect(file.mappingCount == 0)
    }

    @Test func readOnlyMapsHaveAReadOnlyMapping() throws {
        let file = try GuestFile(pages: 4)
        try memory.map(0, pages: 1, of: file)
        try memory.map(page, pages: 1, of: file, at: page, .read)
        try memory.map(2 * page, pages: 1, of: file, at: 2 * page, .read)
        #expect(file.mappingCount == 2)
        try memory.unmap(0, pages: 1)
        #expect(file.mappingCount == 1)
        #expect(try memory.load(UInt8.self, at: page) == 0)
    }

    @Test func aFileThatHasGrownIsMappedAnew() throws {
        let file = try GuestFile(pages: 1)
        try memory.map(0, pages: 1, of: file)
        try file.resize(2 * page)
        try memory.map(page, pages: 1, of: file, at: page)
        #expect(file.mappingCount == 2)
        try memory.map(4 * page, pages: 2, of: file)
        #expect(file.mappingCount == 2)
        try memory.store(UInt8(3), at: 2 * page - 1)
        #expect(try memory.load(UInt8.self, at: 6 * page - 1) == 3)
        try memory.unmap(0, pages: 1)
        #expect(file.mappingCount == 1)
        try memory.map(0, pages: 1, of: file)
        #expect(file.mappingCount == 1, "the newer mapping serves on")
    }

    /// ThreadSanitizer adds mappings of its own to each of ours, and would itself have too many.
    @Test(.enabled(if: dlsym(nil, "__tsan_init") == nil, "ThreadSanitizer needs the mappings itself."))
    func aClientCannotUseUpTheAddressesOfTheProcess() throws {
        let file = try GuestFile(pages: 1)
        try file.resize((1 << 46) + page)
        #expect(throws: MapError.system(.noMemory)) { try memory.map(0, pages: 1, of: file) }
        try file.resize(page)
        // Each map finds the file grown, and needs a mapping of its own.
        var maps: UInt64 = 0
        #expect(throws: MapError.system(.noMemory)) {
            while maps < 40_000 {
                try file.resize((maps + 1) * page)
                try memory.map(maps * page, pages: 1, of: file, at: maps * page)
                maps += 1
            }
        }
        #expect(maps == 32_768)
        memory.unmapAll()
        #expect(file.mappingCount == 0)
        try memory.map(0, pages: maps, of: file)
    }

    @Test func truncatingAFileFailsTheAccessAndNothingElse() throws {
        let file = try GuestFile(pages: 4)
        let other = try GuestFile(pages: 1)
        try memory.map(0, pages: 4, of: file)
        try memory.map(4 * page, pages: 1, of: other)
        try file.resize(page)
        #expect(throws: DMAError.fault(address: 2 * page)) { try memory.load(UInt64.self, at: 2 * page) }
        #expect(throws: DMAError.fault(address: 3 * page)) { try memory.store(UInt8(1), at: 3 * page) }
        #expect(throws: DMAError.fault(address: page - 8)) { try memory.bytes(at: page - 8, count: 16) }
        #expect(DMAError.fault(address: 0).errno == .badAddress)
        try memory.store(UInt32(1), at: 0)
        try memory.store(UInt32(2), at: 4 * page)
        #expect(try memory.load(UInt32.self, at: 4 * page) == 2)
        try file.resize(4 * page)
        #expect(try memory.load(UInt64.self, at: 2 * page) == 0)
    }
}
