import Device
import FakeGuest
import GuestMemory
import Linux
import PCI
import Testing
import VFIO

/// VFIO_USER_DMA_UNMAP
@Suite struct DMAUnmapTests {
    private func map(_ address: UInt64, _ size: UInt64 = 4096) -> [UInt8] {
        fields(UInt32(32), UInt32(3), UInt64(0), address, size)
    }

    private func unmap(_ address: UInt64, _ size: UInt64 = 4096, flags: UInt32 = 0, argumentSize: UInt32 = 24)
        -> [UInt8]
    {
        fields(argumentSize, flags, address, size)
    }

    @Test func theReplyRepeatsTheRequest() throws {
        let connection = try Connection()
        #expect(try connection.raw.call(.dmaMap, map(0x1000)).errno == nil)
        let reply = try connection.raw.call(.dmaUnmap, unmap(0x1000))
        #expect(reply.errno == nil)
        #expect(reply.payload == unmap(0x1000))
        #expect(try connection.raw.call(.dmaMap, map(0x1000)).errno == nil, "the range is free again")
    }

    @Test func onlyAnExactMapCanBeUnmapped() throws {
        let connection = try Connection()
        #expect(try connection.raw.call(.dmaMap, map(0x1000, 0x3000)).errno == nil)
        for (address, size) in [
            (0, 0x1000), (0x1000, 0x1000), (0x2000, 0x2000), (0x1000, 0x4000), (0x8000, 0x1000), (0, 0),
        ] {
            try connection.expect(.noSuchFileOrDirectory, .dmaUnmap, unmap(UInt64(address), UInt64(size)))
        }
        try connection.expect(.noSuchFileOrDirectory, .dmaUnmap, unmap(UInt64.max, UInt64.max))
        #expect(try connection.raw.call(.dmaUnmap, unmap(0x1000, 0x3000)).errno == nil)
        try connection.expect(.noSuchFileOrDirectory, .dmaUnmap, unmap(0x1000, 0x3000), "twice")
    }

    @Test func allAtOnce() throws {
        let connection = try Connection()
        for page in 0..<8 as Range<UInt64> { #expect(try connection.raw.call(.dmaMap, map(page * 8192)).errno == nil) }
        #expect(try connection.raw.call(.dmaUnmap, unmap(0, 0, flags: 2)).errno == nil)
        #expect(try connection.raw.call(.dmaMap, map(0, 16 * 8192)).errno == nil)
    }

    @Test func wrongRequestsAreInvalid() throws {
        let connection = try Connection()
        #expect(try connection.raw.call(.dmaMap, map(0)).errno == nil)
        try connection.expectOnlyThisLength(.dmaUnmap, unmap(0))
        try connection.expect(.invalidArgument, .dmaUnmap, unmap(0, flags: 4), "an unknown flag")
        try connection.expect(.invalidArgument, .dmaUnmap, unmap(0, argumentSize: 23))
        try connection.expect(.invalidArgument, .dmaUnmap, unmap(0, 4096, flags: 2), "all, with a range")
        try connection.expect(.invalidArgument, .dmaUnmap, unmap(0, 0, flags: 3), "all, with a bitmap")
        try connection.expect(.invalidArgument, .dmaUnmap, unmap(0, flags: 1), "a bitmap without its description")
        #expect(try connection.raw.call(.dmaUnmap, unmap(0)).errno == nil)
    }

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

    @Test func aBitmapThatIsTooSmallIsInvalidAndNothingIsUnmapped() throws {
        let connection = try Connection()
        #expect(try connection.raw.call(.dmaMap, map(0, 65 * 4096)).errno == nil)
        let start = fields(UInt32(24), UInt32(6 | 1 << 17), UInt64(4096), UInt32(0), UInt32(0))
        #expect(try connection.raw.call(.deviceFeature, start).errno == nil)
        func request(_ pageSize: UInt64, _ size: UInt64, argumentSize: UInt32 = 1000) -> [UInt8] {
            unmap(0, 65 * 4096, flags: 1, argumentSize: argumentSize) + fields(pageSize, size)
        }
        try connection.expect(.invalidArgument, .dmaUnmap, request(4096, 8))
        try connection.expect(.invalidArgument, .dmaUnmap, request(0, 16))
        try connection.expect(.invalidArgument, .dmaUnmap, request(4097, 16))
        try connection.expect(.invalidArgument, .dmaUnmap, request(4096, 16, argumentSize: 40))
        #expect(try connection.raw.call(.dmaUnmap, request(4096, 16)).payload.count == 56)
    }

    /// A device that pins a page when it is written to, and lets it go when it is written to again.
    private final class Pinner: Device {
        static let type = DeviceType(name: "pinner", summary: "Holds memory.")
        let identity = PCIIdentity(vendor: 0x1234, device: 1, class: .unclassified)
        let bars: [BAR] = [.memory(0, size: 4096)]
        private let host: Host
        private var pin: Pin?

        init(options: DeviceOptions, host: Host) { self.host = host }
        func read(_ bar: Int, at offset: UInt64, width: AccessWidth) -> UInt64 { pin == nil ? 0 : 1 }
        func write(_ bar: Int, at offset: UInt64, width: AccessWidth, value: UInt64) {
            if pin == nil { pin = try? host.memory.pin(address: value, size: 4096, access: .write) } else { letGo() }
        }
        func letGo() {
            pin?.release()
            pin = nil
        }
        func reset() { letGo() }
        struct State: Codable {}
        var state: State { State() }
        func restore(_ state: State) throws(StateError) {}
    }

    private func pinner() throws -> (ServedDevice, RawClient) {
        let device = try ServedDevice { try Pinner(options: DeviceOptions(for: Pinner.type), host: $0) }
        let raw = try device.rawClient()
        try raw.negotiate()
        #expect(try raw.call(.dmaMap, map(0x1000)).errno == nil)
        #expect(try raw.call(.regionWrite, fields(UInt64(0), UInt32(0), UInt32(8), UInt64(0x1000))).errno == nil)
        return (device, raw)
    }

    @Test func theReplyWaitsUntilTheDeviceLetsGoAndNothingOvertakesIt() throws {
        let (device, raw) = try pinner()
        try raw.send(RawClient.message(3, id: 70, payload: unmap(0x1000)))
        try raw.send(RawClient.message(4, id: 71, payload: fields(UInt32(16), UInt32(0), UInt32(0), UInt32(0))))
        // The closure runs on the device's thread, behind the unmap or before it: in both cases the pin goes.
        _ = try device.onThread { function in (function.device as? Pinner)?.letGo() }
        #expect(try raw.receive().id == 70)
        #expect(try raw.receive().id == 71)
    }

    @Test func aClientMayLeaveWhileTheReplyWaits() throws {
        let (device, raw) = try pinner()
        try raw.send(RawClient.message(3, id: 70, payload: unmap(0x1000)))
        try raw.leave()
        let next = try device.rawClient()
        #expect(try next.negotiate().errno == nil)
        #expect(try next.call(.dmaMap, map(0x1000)).errno == nil)
    }
}
