import FakeGuest
import Linux
import Testing
import VFIO

/// VFIO_USER_DMA_MAP
@Suite struct MappedMemoryTests {
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
}
