import Device
import DeviceCatalog
import EchoDevice
import FakeDriver
import FakeGuest
import Linux
import Programs
import Testing
import VFIO
import VFIOUserClient
import Virtio
import struct Foundation.Data
import class Foundation.FileManager
import struct Foundation.URL

/// States that earlier versions have saved load, by the messages of migration, and the devices go on:
/// Fixtures/README.md
@Suite struct SavedStateTests {
    /// A device in a saved state, and the guest's memory of that time.
    private final class Loaded {
        let device: ServedDevice
        let client: Client
        let ram: GuestRAM

        static let ramAddress: UInt64 = 0x10_0000
        static let ramSize = 1 << 20

        convenience init(_ name: String, options: [String] = []) throws {
            try self.init(name) { try DeviceCatalog.make(name, options: options, host: $0) }
        }

        init(_ name: String, make: (Host) throws -> any Device) throws {
            device = try ServedDevice(make: make)
            client = try Client(path: device.path)
            ram = try GuestRAM(at: Self.ramAddress, size: Self.ramSize)
            if let bytes = try? Data(contentsOf: SavedStateTests.fixture(name + ".ram")) {
                ram.store(Array(bytes), at: 0)
            }
            try client.map(address: ram.address, size: UInt64(Self.ramSize), file: ram.file.descriptor)
            let state = Array(try Data(contentsOf: SavedStateTests.fixture(name + ".state")))
            try client.setMigrationState(.resuming)
            for start in stride(from: 0, to: state.count, by: 4000) {
                try client.writeMigrationData(state[start..<min(start + 4000, state.count)].span.bytes)
            }
            try client.setMigrationState(.running)
        }

        /// A number of the notes that were left at the beginning of the guest's memory.
        func note<Value: FixedWidthInteger & BitwiseCopyable>(_ type: Value.Type = UInt64.self, at offset: Int) throws
            -> Value
        {
            try #require(ram.bytes(at: 0, count: 64).number(type, at: offset))
        }

        /// Bytes of the guest's memory.
        func bytes(at address: UInt64, count: Int) -> [UInt8] {
            ram.bytes(at: Int(address - ram.address), count: count)
        }

        func read<Value: FixedWidthInteger & BitwiseCopyable>(
            _ type: Value.Type, _ region: Int, _ offset: UInt64
        ) throws -> Value {
            try client.read(type, region: region, offset: offset)
        }

        /// Gives the device's loop a hundred turns at most, in which it does what is due.
        func wait(until isDone: () throws -> Bool) rethrows {
            for _ in 0..<100 where try !isDone() { device.onThread { _, _ in } }
        }

        /// What a head shows: 0xRRGGBB for each pixel, line by line.
        func picture(_ head: Int = 0) -> [[UInt32]]? {
            device.onThread { function, _ in
                function.display?.heads[head].scanout.map { scanout in
                    (0..<scanout.height).map { y in
                        var row = [UInt8](repeating: 0, count: scanout.width * 3)
                        var span = row.mutableSpan
                        scanout.rgbRow(y, into: &span)
                        return stride(from: 0, to: row.count, by: 3).map { at in
                            row[at..<at + 3].reduce(0) { $0 << 8 | UInt32($1) }
                        }
                    }
                }
            }
        }
    }

    private static let fixtures = Repository.file("Tests/Devices/SavedStateTests/Fixtures")

    private static func fixture(_ name: String) -> URL { fixtures.appendingPathComponent("b3dd092/" + name) }

    @Test(arguments: DeviceCatalog.types.map(\.name)) func everyTypeHasAState(name: String) throws {
        let files = try FileManager.default.subpathsOfDirectory(atPath: Self.fixtures.path)
        #expect(files.contains { $0.hasSuffix("/\(name).state") })
    }

    @Test func anExerciserGoesOn() throws {
        let exerciser = try Loaded("exerciser")
        #expect(try exerciser.read(UInt16.self, 7, 0x04) == 0x0407)
        #expect(try exerciser.read(UInt32.self, 7, 0x10) == 0xfebf_0000)
        #expect(try exerciser.read(UInt8.self, 7, 0x3c) == 11)
        #expect(try exerciser.read(UInt32.self, 0, 0x04) == 0x5eed_f00d)
        #expect(try exerciser.read(UInt64.self, 0, 0x08) == 0x0123_4567_89ab_cdef)
        #expect(try exerciser.read(UInt32.self, 0, 0x18) == 6, "the cause")
        #expect(try exerciser.read(UInt16.self, 7, 0x06) & 8 != 0, "the pin is asserted")
        #expect(try exerciser.read(UInt64.self, 0, 0x20) == 0x10_0200)
        #expect(try exerciser.read(UInt8.self, 0, 0x34) == 0xa5)
        #expect(try exerciser.read(UInt32.self, 0, 0x3c) == 3, "nothing was mapped there")
        #expect(try exerciser.read(UInt64.self, 0, 0x40) == 0xdead_0000)
        for region in [0, 5] {
            // The counters of commands and rings, and the tail: registers, and what the guest reads without a trap.
            let places: [UInt64] = region == 0 ? [0x70, 0x78, 0x90] : [0x00, 0x08, 0x10]
            #expect(try places.map { try exerciser.read(UInt64.self, region, $0) } == [2, 2, 0x5566_7788])
        }
        let buffer: [UInt8] = try exerciser.client.read(region: 2, offset: 4096, count: 301)
        #expect(buffer == (0..<300).map { UInt8(truncatingIfNeeded: $0 * 7) } + [0])
        // The message that the guest has masked is still to come.
        #expect(
            try exerciser.client.read(region: 4, offset: 3 * 16, count: 16)
                == wire(0xfee0_1000 as UInt64, 0x41 as UInt32, 0 as UInt32))
        #expect(try exerciser.read(UInt64.self, 4, 0x800) == 1 << 5)
        let messages = try (0..<8).map { _ in try EventFD() }
        try exerciser.client.setEventFDs(messages, kind: .msix)
        #expect(messages[5].consume() == 0)
        var msix = UInt64(try exerciser.read(UInt8.self, 7, 0x34))
        while try exerciser.read(UInt8.self, 7, msix) != 0x11 {
            msix = UInt64(try exerciser.read(UInt8.self, 7, msix + 1))
        }
        try exerciser.client.write(UInt16(0x8000), region: 7, offset: msix + 2)
        #expect(messages[5].consume() == 1)
    }

    @Test func aDisplayGoesOn() throws {
        let display = try Loaded("bochs-display", options: ["vram=1280K", "resolution=640x480"])
        let registers = try (0..<11 as Range<UInt64>).map { try display.read(UInt16.self, 2, 0x500 + 2 * $0) }
        #expect(registers == [0xb0c5, 64, 48, 8, 0x61, 0, 80, 16384, 3, 2, 20])
        #expect(try display.read(UInt32.self, 2, 0x604) == 0xbebe_bebe)
        #expect(try display.read(UInt8.self, 2, 0x40c) == 0x67)
        // The driver was in the middle of a colour of the palette.
        for component in [0x71, 0x72] as [UInt8] { try display.client.write(component, region: 2, offset: 0x409) }
        let picture = (0..<48).map { y in
            (0..<64).map { x in
                let colour = UInt32((x + 3 + 3 * (y + 2)) % 256)
                return colour == 7 ? 0x70_7172 : colour << 16 | (255 - colour) << 8 | 2 * colour & 0xff
            }
        }
        #expect(display.picture() == picture)
    }

    @Test func aSerialCardGoesOn() throws {
        let card = try Loaded("serial")
        let registers = try [1, 3, 4, 7].map { try card.read(UInt8.self, 0, $0) }
        #expect(registers == [0x05, 0x5b, 0x1b, 0x77])
        #expect(try card.read(UInt8.self, 0, 2) == 0xcc, "fewer characters than the eight that it waits for")
        #expect(try card.read(UInt16.self, 7, 0x06) & 8 != 0, "the pin is asserted")
        #expect(try card.read(UInt8.self, 0, 5) & 0x91 == 0x81, "a break comes later")
        #expect(try (0..<5).map { _ in try card.read(UInt8.self, 0, 0) } == Array("hello".utf8))
        #expect(try card.read(UInt8.self, 0, 5) & 0x91 == 0x91)
        #expect(try card.read(UInt8.self, 0, 0) == 0)
        #expect(try card.read(UInt8.self, 0, 5) & 1 == 0, "nothing more")
        try card.client.write(UInt8(0x9b), region: 0, offset: 3)
        #expect(try [card.read(UInt8.self, 0, 0), card.read(UInt8.self, 0, 1)] == [0x34, 0x12])
    }

    @Test func anEntropyDeviceGoesOnWithWhatItWasNotToldOf() throws {
        let entropy = try Loaded("virtio-rng")
        let driver = try VirtioDriver(entropy.client, ram: entropy.ram)
        #expect(try driver[.status] == 15)
        #expect(try driver[.configVector] == 0)
        try driver.set(.queueSelect, 0)
        #expect(try [driver[.queueSize], driver[.queueVector], driver[.queueEnable]] == [8, 1, 1])
        for place in [0, 8] {
            let target: UInt64 = try entropy.note(at: place)
            // Halves, for the second is of two buffers; that one of them is zero by chance nobody will live to see.
            for half in [target, target + 32] {
                func isFilled() -> Bool { entropy.bytes(at: half, count: 32).contains { $0 != 0 } }
                entropy.wait(until: isFilled)
                #expect(isFilled(), "request \(place / 8)")
            }
        }
    }

    @Test func chainsInFlightAreTakenAgain() throws {
        typealias Echo = VirtioFunction<EchoDevice>
        let echo = try Loaded("echo") { try Echo(options: DeviceOptions(for: Echo.type), host: $0) }
        let driver = try VirtioDriver(echo.client, ram: echo.ram)
        #expect(try driver.deviceConfiguration(0, .dword) == 0xcafe)
        let ids = try [echo.note(UInt16.self, at: 16), echo.note(UInt16.self, at: 18)]
        func kept() -> [UInt16]? { echo.device.onThread { function, _ in (function.device as? Echo)?.driver.keptIDs } }
        echo.wait { kept() == ids }
        #expect(kept() == ids)
        for (place, number) in [(1, 2), (0, 0)] {
            try driver.setDeviceConfiguration(EchoDevice.completion, .byte, UInt64(ids[place]))
            #expect(try echo.bytes(at: echo.note(at: 8 * place), count: 1) == [UInt8(0xb0 + number)])
        }
        #expect(try !driver.needsReset)
    }

    @Test func aGPUGoesOnWithWhatItWasNotToldOf() throws {
        let gpu = try Loaded(
            "virtio-gpu", options: ["heads=2", "vram=3M", "resolution=640x480", "blob=on", "packed=off"])
        let driver = try VirtioDriver(gpu.client, ram: gpu.ram)
        #expect(try driver[.status] == 15)
        #expect(try driver.deviceConfiguration(0, .dword) == 1, "a monitor has changed")
        for answer in [0, 8] {
            let address: UInt64 = try gpu.note(at: answer)
            gpu.wait { driver.load(UInt32.self, at: address) != 0 }
            #expect(driver.load(UInt32.self, at: address) == 0x1100, "request \(answer / 8)")
        }
        // The first pixel is of the memory that was not copied yet when the state was saved.
        let drawn = (0..<4 as Range<UInt32>).map { y in
            (0..<4 as Range<UInt32>).map { 0x11_0000 + (y + 1) * 8 + $0 + 1 }
        }
        #expect(gpu.picture(0) == [[0x44_0000] + drawn[0][1...]] + drawn[1...])
        #expect(gpu.picture(1) == (0..<4 as Range<UInt32>).map { y in (0..<4).map { 0x22_0000 + y * 4 + $0 } })
        let cursor = gpu.device.onThread { function, _ in function.display?.heads[0].cursor }
        let shown = try #require(cursor)
        #expect([shown.x, shown.y, shown.hotX, shown.hotY] == [5, 6, 7, 8])
        let end = shown.image.offset + 4095 * 4
        #expect(shown.image.memory.number(at: shown.image.offset) == UInt64(0xff33_0001_ff33_0000))
        #expect(shown.image.memory.number(at: end - 4) == UInt64(0xff33_0fff_ff33_0ffe))
    }
}
