import FakeGuest
import Linux
import Testing
import VFIO
import VFIOUserClient
import VFIOUserServer

/// VFIO_USER_DEVICE_GET_REGION_INFO
@Suite struct MappedRegionTests {
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

    /// Whose pages a server might never give.
    @Test func aFileThatIsNoMemoryIsNotMapped() throws {
        let pair = try UnixSocket.pair()
        let server = Server(try RawClient(UnixSocket(owning: pair.second.descriptor.duplicate())))
        let thread = try Thread(name: "hostile server") { try? server.serve() }
        let region = try Client(UnixSocket(owning: pair.first.descriptor.duplicate())).region(2)
        #expect(region.file != nil)
        #expect(throws: ClientError.unavailable("The file behind region 2 is no memory.")) {
            try region.map(size: 4096)
        }
        pair.first.shutDown()
        thread.join()
    }

    /// Says of every region that an ordinary file is behind it. One thread's.
    private final class Server: @unchecked Sendable {
        private let wire: RawClient

        init(_ wire: RawClient) {
            self.wire = wire
        }

        func serve() throws {
            let file = try Descriptor(reading: "/proc/self/exe")
            while let request = try wire.receive() {
                let (command, id) = (request.header.command, request.header.id)
                if command == Command.version.rawValue {
                    try wire.send(message(.version, id: id, RawClient.version("{}"), flags: .reply))
                } else {
                    let info = RegionInfo(index: 2, flags: [.read, .mmap], length: 4096)
                    let payload = FakeGuest.wire { info.write(into: &$0, argumentSize: .max).count }
                    try wire.send(
                        message(.deviceGetRegionInfo, id: id, payload, flags: .reply), descriptors: [file.raw])
                }
            }
        }
    }
}
