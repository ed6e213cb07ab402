import Glibc
import Linux
import Testing

@Suite struct DescriptorTests {
    @Test func statusTellsIdentitySizeAndMode() throws {
        let file = try MemoryFile(name: "status", size: 8192)
        let status = try file.descriptor.status()
        #expect(status.size == 8192)
        #expect(status.isRegular && status.isReadable && status.isWritable)

        let readOnly = try Descriptor(reading: "/proc/self/fd/\(file.descriptor.raw)").status()
        #expect(readOnly.isReadable && !readOnly.isWritable)
        #expect(readOnly.device == status.device && readOnly.inode == status.inode)
        #expect(try file.descriptor.duplicate().status() == status)

        let other = try MemoryFile(name: "status", size: 8192).descriptor.status()
        #expect(other.inode != status.inode)
    }

    @Test func statusKnowsDevicesAndWriteOnlyFiles() throws {
        let status = try Descriptor(owning: open("/dev/null", O_WRONLY)).status()
        #expect(!status.isRegular && !status.isReadable && status.isWritable)
    }

    @Test func aDescriptorThatIsNotOpenHasNoStatus() {
        #expect(throws: Errno.badFileDescriptor) { try Descriptor(owning: -1).status() }
    }
}
