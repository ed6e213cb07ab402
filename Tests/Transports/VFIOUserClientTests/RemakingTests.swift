import Device
import FakeGuest
import GuestMemory
import Linux
import Synchronization
import Testing
import VFIO
import VFIOUserClient
import VFIOUserServer

/// A device is taken down and made anew under a client that stays: `Server.remakeFunction(_:)`.
@Suite struct RemakingTests {
    /// A client that has set up all that there is, and what it has of it.
    private final class Session {
        static let guestAddress: UInt64 = 0x10_0000
        static let bufferSize = 64 << 10

        let device: ServedDevice
        let client: Client
        let ram: MemoryFile
        /// Of BAR 2, and the page of BAR 5.
        let buffer: Mapping
        let shared: Mapping
        let messages: [EventFD]
        let bell: EventFD

        init() throws {
            device = try ServedDevice("exerciser")
            client = try device.client()
            ram = try MemoryFile(name: "guest", size: 8192)
            try client.map(address: Self.guestAddress, size: 8192, file: ram.descriptor)
            buffer = try client.region(2).map(at: 4096, size: Self.bufferSize)
            let page = try #require(try client.region(5).file)
            shared = try Mapping(of: page.descriptor, size: 4096, access: .read)
            messages = try (0..<8).map { _ in try EventFD() }
            try client.setEventFDs(messages, kind: .msix)
            bell = try #require(try client.doorbells(ofRegion: 0).first).eventFD
        }

        /// Everything that goes between the client and the device works, and the client's pages are the device's.
        func check(_ number: UInt8, sourceLocation: SourceLocation = #_sourceLocation) throws {
            // From the client's pages by way of the device to the guest's memory, and back.
            buffer.base.storeBytes(of: number, toByteOffset: 0, as: UInt8.self)
            try command(client, .store, destination: Self.guestAddress + 7, length: 1)
            #expect(
                ram.mapping.base.load(fromByteOffset: 7, as: UInt8.self) == number, sourceLocation: sourceLocation)
            ram.mapping.base.storeBytes(of: ~number, toByteOffset: 4096, as: UInt8.self)
            try command(client, .load, source: Self.guestAddress + 4096, length: 1)
            #expect(buffer.base.load(as: UInt8.self) == ~number, sourceLocation: sourceLocation)
            // A message's eventfd, a doorbell's, and the page that tells of it.
            try client.write(UInt32(3), region: 0, offset: 0x10)
            #expect(messages.map { $0.consume() } == [0, 0, 0, 1, 0, 0, 0, 0], sourceLocation: sourceLocation)
            let rings = try client.read(UInt64.self, region: 0, offset: 0x78)
            bell.signal()
            device.onThread { _, _ in }
            #expect(
                try client.read(UInt64.self, region: 0, offset: 0x78) == rings + 1, sourceLocation: sourceLocation)
            #expect(shared.base.load(fromByteOffset: 8, as: UInt64.self) == rings + 1, sourceLocation: sourceLocation)
        }
    }

    private final class Old: Sendable {
        private struct State: @unchecked Sendable {
            weak var function: Function?
        }
        private let state = Mutex(State())

        init(_ device: ServedDevice) {
            device.onThread { [self] function, _ in state.withLock { $0.function = function } }
        }

        /// One that is used on its own thread alone, and only compared here.
        var isGone: Bool { state.withLock { $0.function == nil } }
    }

    @Test func theClientGoesOnWithWhatItHas() throws {
        let session = try Session()
        try session.check(0x11)
        session.buffer.base.storeBytes(of: 0x77, toByteOffset: 100, as: UInt8.self)
        try session.client.write(UInt32(0x1234_5678), region: 0, offset: 4)
        let writes = try session.client.read(UInt64.self, region: 0, offset: 0x68)
        let identity = try #require(try session.client.region(2).file).descriptor.status()
        for round in 1...3 as ClosedRange<UInt8> {
            let old = Old(session.device)
            try session.device.remake("exerciser")
            #expect(old.isGone)
            #expect(session.buffer.base.load(fromByteOffset: 100, as: UInt8.self) == 0x77)
            try session.check(round)
        }
        #expect(try session.client.read(UInt32.self, region: 0, offset: 4) == 0x1234_5678)
        #expect(try session.client.read(UInt64.self, region: 0, offset: 0x68) > writes)
        let same = try #require(try session.client.region(2).file).descriptor.status()
        #expect(same.device == identity.device && same.inode == identity.inode)
        #expect(session.device.onThread { _, server in server.statistics.sessions } == 1)
    }

    @Test func whatWasMaskedAndPendingStaysSo() throws {
        let session = try Session()
        try session.client.act(.mask, kind: .msix, start: 5)
        try session.client.write(UInt32(5), region: 0, offset: 0x10)
        try session.device.remake("exerciser")
        #expect(session.messages[5].consume() == 0)
        #expect(try session.client.read(UInt64.self, region: 4, offset: 0x800) == 1 << 5)
        try session.client.act(.unmask, kind: .msix, start: 5)
        #expect(session.messages[5].consume() == 1)
    }

    @Test func thePinIsNotToldTwice() throws {
        let device = try ServedDevice("exerciser")
        let client = try device.client()
        let pin = try EventFD()
        try client.setEventFDs([pin], kind: .intx)
        try client.write(UInt32(1), region: 0, offset: 0x14)
        #expect(pin.consume() == 1)
        try device.remake("exerciser")
        #expect(pin.consume() == 0)
        try client.act(.unmask, kind: .intx)
        #expect(pin.consume() == 1, "the level is still high")
        // Disabled by the command register, it is silent while nobody has restored that yet.
        try client.write(UInt16(0x0404), region: 7, offset: 4)
        try client.act(.unmask, kind: .intx)
        try device.remake("exerciser")
        #expect(pin.consume() == 0)
    }

    @Test func aDeviceThatStandsStillGoesOnStandingStill() throws {
        let session = try Session()
        try session.client.setMigrationState(.stop)
        try session.device.remake("exerciser")
        #expect(throws: ClientError.refused(.regionWrite, .resourceBusy)) {
            try session.client.write(UInt32(1), region: 0, offset: 4)
        }
        session.bell.signal()
        session.device.onThread { _, _ in }
        #expect(try session.client.read(UInt64.self, region: 0, offset: 0x78) == 0)
        try session.client.setMigrationState(.running)
        session.device.onThread { _, _ in }
        #expect(try session.client.read(UInt64.self, region: 0, offset: 0x78) == 1)
        try session.check(9)
    }

    @Test func aStateOnItsWayOutIsWhole() throws {
        let session = try Session()
        session.buffer.base.storeBytes(of: 0x77, toByteOffset: 100, as: UInt8.self)
        try session.client.write(UInt32(0xabcd), region: 0, offset: 4)
        try session.client.setMigrationState(.stopCopy)
        var state = try session.client.readMigrationData(count: 100)
        try session.device.remake("exerciser")
        state += try session.client.readMigrationData(count: 1 << 20)
        let second = try ServedDevice("exerciser")
        let other = try second.client()
        try other.setMigrationState(.resuming)
        try other.writeMigrationData(state.span.bytes)
        try other.setMigrationState(.running)
        #expect(try other.read(UInt32.self, region: 0, offset: 4) == 0xabcd)
        #expect(try other.read(UInt8.self, region: 2, offset: 4096 + 100) == 0x77)
    }

    @Test func aStateOnItsWayInIsNotLost() throws {
        let session = try Session()
        try session.client.setMigrationState(.resuming)
        #expect(throws: Errno.resourceBusy) { try session.device.remake("exerciser") }
    }

    private struct NoDevice: Error {}

    @Test func whenNoneCanBeMadeTheOneThatIsThereGoesOn() throws {
        let session = try Session()
        try session.client.write(UInt32(77), region: 0, offset: 4)
        #expect(throws: NoDevice.self) { try session.device.remake { _ in throw NoDevice() } }
        try session.check(1)
        // Another type, which even finds its memory.
        #expect(throws: StateError.self) { try session.device.remake("bochs-display") }
        try session.check(2)
        #expect(throws: DeviceMemoryError.size("exerciser", wanted: 4096, kept: 4096 + Session.bufferSize)) {
            try session.device.remake { host in
                _ = try host.deviceMemory.take("exerciser", size: 4096)
                throw NoDevice()
            }
        }
        try session.check(3)
        try session.device.remake("exerciser")
        try session.check(4)
        #expect(try session.client.read(UInt32.self, region: 0, offset: 4) == 77)
    }

    @Test func aRestoredDeviceMakesAClientsUnmapWaitForNobody() throws {
        let session = try Session()
        try session.device.remake("exerciser")
        try session.client.unmap(address: Session.guestAddress, size: 8192)
        try command(session.client, .fill, destination: Session.guestAddress, length: 1)
        #expect(try session.client.read(UInt64.self, region: 0, offset: 0x40) == Session.guestAddress)
    }

    // MARK: A display

    private func setMode(_ client: Client, width: UInt16, height: UInt16) throws {
        for (register, value) in [(4, 0), (1, width), (2, height), (3, 32), (4, 0x41)] as [(UInt64, UInt16)] {
            try client.write(value, region: 2, offset: 0x500 + register * 2)
        }
    }

    private func pixel(_ device: ServedDevice, _ number: Int) -> UInt32? {
        device.onThread { function, _ in
            guard let scanout = function.display?.heads.first?.scanout else { return nil }
            var bytes: InlineArray<4, UInt8> = [0, 0, 0, 0]
            var span = bytes.mutableSpan
            var raw = span.mutableBytes
            scanout.memory.copy(at: scanout.offset + number * 4, count: 4, into: &raw)
            return UInt32(bytes[0]) | UInt32(bytes[1]) << 8 | UInt32(bytes[2]) << 16 | UInt32(bytes[3]) << 24
        }
    }

    @Test func aGuestDrawsOnIntoThePagesThatItHasMapped() throws {
        let device = try ServedDevice("bochs-display")
        let client = try device.client()
        let pixels = try client.region(0).map(size: 1 << 20)
        try setMode(client, width: 640, height: 480)
        pixels.base.storeBytes(of: 0x00aa_bbcc, toByteOffset: 4 * 1000, as: UInt32.self)
        let identity = device.onThread { function, _ in ObjectIdentifier(function) }
        try device.remake("bochs-display")
        #expect(device.onThread { function, _ in ObjectIdentifier(function) } != identity)
        #expect(pixel(device, 1000) == 0x00aa_bbcc)
        pixels.base.storeBytes(of: 0x0011_2233, toByteOffset: 4 * 1001, as: UInt32.self)
        #expect(pixel(device, 1001) == 0x0011_2233)
        #expect(try client.read(UInt16.self, region: 2, offset: 0x502) == 640)
        #expect(try client.read(UInt32.self, region: 0, offset: 4 * 1001) == 0x0011_2233)
    }

    @Test func whatTheAdministratorHasChangedStays() throws {
        let options = ["vram=2M", "aperture=16M", "resolution=640x480"]
        let device = try ServedDevice("bochs-display", options: options)
        let client = try device.client()
        try device.onThread { function, _ in
            Result { _ = try function.apply(Quota(videoMemory: 8 << 20, frameRate: 30)) }
        }.get()
        try setMode(client, width: 1024, height: 1024)
        let last = 1024 * 1024 - 1
        let file = try #require(try client.region(0).file)
        let pixels = try Mapping(of: file.descriptor, size: 4 << 20)
        pixels.base.storeBytes(of: 5, toByteOffset: 4 * last, as: UInt32.self)
        try device.remake("bochs-display", options: options)
        #expect(pixel(device, last) == 5)
        #expect(try client.read(UInt16.self, region: 2, offset: 0x500 + 20) == 128)
        #expect(device.onThread { function, _ in function.limits?.quota.frameRate } == 30)
    }
}
