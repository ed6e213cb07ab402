import Device
import FakeGuest
import GuestMemory
import Linux
import PCI
import Testing
import VFIO

/// VFIO_USER_DMA_UNMAP
@Suite struct UnmappedMemoryTests {
    @Test func memoryIsOutOfReachAfterwards() throws {
        let device = try ServedDevice("exerciser")
        let client = try device.client()
        let memory = try MemoryFile(name: "guest", size: 4096)
        try client.map(address: 0, size: 4096, file: memory.descriptor)
        try client.unmap(address: 0, size: 4096)
        try fill(client, 0, 8, with: 1)
        #expect(try client.read(UInt32.self, region: 0, offset: 0x3c) == 3)
        #expect(memory.mapping.base.load(as: UInt64.self) == 0)
    }

    @Test func theDirtyBitmapComesWithTheReply() throws {
        let device = try ServedDevice("exerciser")
        let client = try device.client()
        let memory = try MemoryFile(name: "guest", size: 16 << 12)
        try client.map(address: 0x10_0000, size: 16 << 12, file: memory.descriptor)
        try client.startDirtyLog(pageSize: 4096)
        try fill(client, 0x10_0000 + 3 * 4096, 1, with: 1)
        try fill(client, 0x10_0000 + 9 * 4096 - 1, 2, with: 1)
        let bitmap = try client.unmap(address: 0x10_0000, size: 16 << 12, dirtyPageSize: 4096)
        #expect(bitmap == [0b0000_1000, 0b0000_0011, 0, 0, 0, 0, 0, 0])
    }
}
