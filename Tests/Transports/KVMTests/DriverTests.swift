import FakeGuest
import KVM
import Lab
import Testing

/// The same device, the same driver's work: by a bare client, by its access ring, in a KVM guest with all that KVM
/// accelerates, where the device is a server's or in the monitor's own process, and in a domain of a real Xen.
@Suite(.serialized) struct DriverTests {
    enum Place: CaseIterable {
        case client, ring, guestBySocket, guestInProcess, xen

        /// Why it can't be had here, where that is so.
        private var missing: Comment? {
            switch self {
            case .client, .ring: nil
            case .guestBySocket, .guestInProcess: VirtualMachine.isAvailable ? nil : "There is no usable /dev/kvm."
            case .xen: SharedXen.release.isInLab ? nil : "`make lab` brings Xen."
            }
        }

        /// Skips the test, with the reason, where the place can't be had.
        func driver() throws -> any Driver {
            if let missing { try Test.cancel(missing) }
            return switch self {
            case .client: try ClientDriver(hasRing: false)
            case .ring: try ClientDriver(hasRing: true)
            case .guestBySocket: try GuestDriver(.socket)
            case .guestInProcess: try GuestDriver(.process)
            case .xen: try XenDriver()
            }
        }
    }

    @Test(arguments: Place.allCases)
    func registersKeepTheirRules(place: Place) throws {
        let driver = try place.driver()
        #expect(try driver.read(bar: 0, at: 0, width: 4) == 0x0001_11e9)
        try driver.write(0x1122_3344, bar: 0, at: 4, width: 4)
        try driver.write(0xff, bar: 0, at: 5, width: 1)
        try driver.write(0xabcd, bar: 0, at: 6, width: 2)
        #expect(try driver.read(bar: 0, at: 4, width: 4) == 0xabcd_ff44)
        #expect(try driver.read(bar: 0, at: 5, width: 1) == 0xff)
        // Read-only, and no register at all.
        try driver.write(0, bar: 0, at: 0, width: 4)
        #expect(try driver.read(bar: 0, at: 0, width: 4) == 0x0001_11e9)
        #expect(try driver.read(bar: 0, at: 0xf00, width: 4) == 0)
    }

    @Test(arguments: Place.allCases)
    func theDeviceSeesWhatIsWrittenToMappedMemory(place: Place) throws {
        let driver = try place.driver()
        let before = try driver.read(bar: 2, at: 4, width: 4)
        try driver.write(0x8765_4321, bar: 2, at: 4096, width: 4)
        #expect(try driver.read(bar: 2, at: 4098, width: 2) == 0x8765)
        #expect(try driver.read(bar: 2, at: 4, width: 4) != before)
    }

    @Test(arguments: Place.allCases)
    func aDoorbellRings(place: Place) throws {
        let driver = try place.driver()
        try driver.write(1, bar: 0, at: 0x80, width: 4)
        // By eventfd, it keeps no order with the reads of the counter.
        var rings: UInt32 = 0
        for _ in 0..<100_000 where rings == 0 { rings = try driver.read(bar: 0, at: 0x78, width: 4) }
        #expect(rings == 1)
    }

    @Test(arguments: Place.allCases)
    func theDeviceReachesMemory(place: Place) throws {
        let driver = try place.driver()
        try driver.write(0x9000, bar: 0, at: 0x28, width: 4)
        try driver.write(100, bar: 0, at: 0x30, width: 4)
        try driver.write(0x5a, bar: 0, at: 0x34, width: 1)
        try driver.write(4, bar: 0, at: 0x38, width: 4)
        #expect(try driver.read(bar: 0, at: 0x3c, width: 4) == 0)
        #expect(try driver.memory(at: 0x8fff, count: 102) == [0] + [UInt8](repeating: 0x5a, count: 100) + [0])
        // Past the end of memory.
        try driver.write(0x1000_0000, bar: 0, at: 0x28, width: 4)
        try driver.write(4, bar: 0, at: 0x38, width: 4)
        #expect(try driver.read(bar: 0, at: 0x3c, width: 4) != 0)
        #expect(try driver.read(bar: 0, at: 0x40, width: 4) == 0x1000_0000)
    }

    @Test(arguments: Place.allCases)
    func messagesArrive(place: Place) throws {
        let driver = try place.driver()
        for (offset, value) in [(48, 0xfee0_0000), (52, 0), (56, 0x40), (60, 0)] as [(UInt64, UInt32)] {
            try driver.write(value, bar: 4, at: offset, width: 4)
        }
        let capability = try driver.capability(0x11)
        try driver.writeConfiguration(try driver.readConfiguration(at: capability) | 0x8000_0000, at: capability)
        for _ in 0..<10 {
            try driver.write(3, bar: 0, at: 0x10, width: 4)
            #expect(try driver.awaitMessage())
        }
    }

    @Test(.enabled(if: VirtualMachine.isAvailable, "There is no usable /dev/kvm."), arguments: Way.allCases)
    func aMaskedVectorWaitsForItsUnmask(way: Way) throws {
        let driver = try GuestDriver(way)
        let (entry, pending) = (UInt64(48), UInt64(0x800))
        for (offset, value) in [(0, 0xfee0_0000), (4, 0), (8, 0x40), (12, 1)] as [(UInt64, UInt32)] {
            try driver.write(value, bar: 4, at: entry + offset, width: 4)
        }
        let capability = try driver.capability(0x11)
        try driver.writeConfiguration(try driver.readConfiguration(at: capability) | 0x8000_0000, at: capability)
        // First as it was from the start, then as it is again when it had been let through.
        for _ in 0..<3 {
            try driver.write(3, bar: 0, at: 0x10, width: 4)
            #expect(try driver.read(bar: 4, at: pending, width: 4) == 1 << 3)
            #expect(driver.takeMessages() == 0)
            try driver.write(0, bar: 4, at: entry + 12, width: 4)
            #expect(try driver.awaitMessage())
            #expect(try driver.read(bar: 4, at: pending, width: 4) == 0)
            try driver.write(3, bar: 0, at: 0x10, width: 4)
            #expect(try driver.awaitMessage())
            try driver.write(1, bar: 4, at: entry + 12, width: 4)
        }
        #expect(driver.troubles == [])
    }
}
