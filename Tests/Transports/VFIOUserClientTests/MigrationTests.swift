import FakeGuest
import Linux
import Testing
import VFIO
import VFIOUserClient

/// VFIO_USER_DEVICE_FEATURE, VFIO_USER_MIG_DATA_READ, VFIO_USER_MIG_DATA_WRITE
@Suite struct MigrationTests {
    private static let get: UInt32 = 1 << 16
    private static let set: UInt32 = 1 << 17
    private static let probe: UInt32 = 1 << 18

    private func save(_ client: Client) throws -> [UInt8] {
        try client.setMigrationState(.stop)
        try client.setMigrationState(.stopCopy)
        var state: [UInt8] = []
        while true {
            let piece = try client.readMigrationData(count: 100_000)
            state += piece
            if piece.count < 100_000 { break }
        }
        try client.setMigrationState(.running)
        return state
    }

    // MARK: Migration

    @Test(arguments: ["exerciser", "bochs-display", "serial"])
    func aSavedStateMakesTheSameDevice(type: String) throws {
        let first = try ServedDevice(type)
        let client = try first.client()
        if type == "exerciser" { try client.write(UInt32(0x5eed), region: 0, offset: 4) }
        if type == "serial" { try client.write(UInt8(0x5e), region: 0, offset: 7) }
        if type == "bochs-display" {
            try client.write(UInt32(0xfeed), region: 0, offset: 0x12_3456)
            try client.write(UInt16(800), region: 2, offset: 0x502)
        }
        try client.write(UInt16(0x0007), region: 7, offset: 4)
        let state = try save(client)

        let second = try ServedDevice(type)
        let other = try second.client()
        try other.setMigrationState(.resuming)
        for start in stride(from: 0, to: state.count, by: 777) {
            try other.writeMigrationData(state[start..<min(start + 777, state.count)].span.bytes)
        }
        try other.setMigrationState(.running)
        #expect(try other.migrationState() == .running)
        for region in [0, 2, 7] {
            let size = Int(try client.region(region).info.length)
            guard size > 0 else { continue }
            // The exerciser counts the reads of its registers, so only what a driver set is compared.
            let (offset, count) = region == 0 && type == "exerciser" ? (4, 12) : (0, min(size, 2 << 20))
            for start in stride(from: offset, to: offset + count, by: 1 << 20) {
                let piece = min(1 << 20, offset + count - start)
                #expect(
                    try client.read(region: region, offset: UInt64(start), count: piece)
                        == other.read(region: region, offset: UInt64(start), count: piece), "region \(region)")
            }
        }
    }

    @Test(
        arguments: [
            (.stop, .running, true), (.stop, .stopCopy, true), (.stop, .resuming, true), (.stop, .stop, true),
            (.running, .stopCopy, true), (.running, .resuming, true), (.stopCopy, .resuming, true),
            (.running, .preCopy, false), (.running, .error, false), (.running, .runningPeerToPeer, false),
            (.stopCopy, .preCopy, false),
        ] as [(MigrationState, MigrationState, Bool)])
    func theStateMachineHasTheseArcs(from: MigrationState, to: MigrationState, isAllowed: Bool) throws {
        let device = try ServedDevice("exerciser")
        let client = try device.client()
        try client.setMigrationState(from)
        if isAllowed {
            try client.setMigrationState(to)
            #expect(try client.migrationState() == to)
        } else {
            #expect(throws: ClientError.refused(.deviceFeature, .invalidArgument)) { try client.setMigrationState(to) }
            #expect(try client.migrationState() == from)
        }
    }

    @Test func aStoppedDeviceAnswersQueriesAndDoesNotChange() throws {
        let device = try ServedDevice("exerciser")
        let client = try device.client()
        try client.write(UInt32(5), region: 0, offset: 4)
        try client.setMigrationState(.stop)
        #expect(try client.deviceInfo().regionCount == 9)
        #expect(try client.read(UInt32.self, region: 0, offset: 4) == 5)
        #expect(throws: ClientError.refused(.regionWrite, .resourceBusy)) {
            try client.write(UInt32(6), region: 0, offset: 4)
        }
        try client.reset()
        #expect(try client.migrationState() == .running)
        try client.write(UInt32(6), region: 0, offset: 4)
        #expect(try client.read(UInt32.self, region: 0, offset: 4) == 6)
    }

    @Test(arguments: ["", "MEDIATED", "garbage that is long enough for a header", "MEDIATED\u{1}\0\0\0\u{4}\0\0\0null"])
    func whatIsNoStateIsRefusedAndAResetRecovers(text: String) throws {
        let device = try ServedDevice("exerciser")
        let client = try device.client()
        try client.setMigrationState(.resuming)
        #expect(throws: (any Error).self) {
            try client.writeMigrationData(Array(text.utf8).span.bytes)
            try client.setMigrationState(.running)
        }
        #expect(try client.migrationState() == .error)
        #expect(throws: ClientError.refused(.deviceFeature, .invalidArgument)) {
            try client.setMigrationState(.running)
        }
        try client.reset()
        #expect(try client.migrationState() == .running)
    }

    @Test func aStateOfAnotherDeviceIsRefused() throws {
        let display = try ServedDevice("bochs-display")
        let state = try save(try display.client())
        let device = try ServedDevice("exerciser")
        let client = try device.client()
        try client.setMigrationState(.resuming)
        #expect(throws: ClientError.refused(.migrationDataWrite, .invalidArgument)) {
            try client.writeMigrationData(state.span.bytes)
        }
    }

    // MARK: Probing

    @Test func featuresSayWhatTheyCan() throws {
        let device = try ServedDevice("exerciser")
        let client = try device.client()
        #expect(try client.migrationFlags() == .stopCopy)
        #expect(try client.probe(.migration, .get))
        #expect(try client.probe(.migrationState, [.get, .set]))
        #expect(try client.probe(.dmaLoggingStart, .set))
        #expect(try client.probe(.dmaLoggingStop, .set))
        #expect(try client.probe(.dmaLoggingReport, .get))
        #expect(try !client.probe(.migration, .set))
        #expect(try !client.probe(.dmaLoggingReport, .set))
    }

    // MARK: Dirty log

    @Test func whatTheDeviceWritesIsLogged() throws {
        let device = try ServedDevice("exerciser")
        let client = try device.client()
        let memory = try MemoryFile(name: "guest", size: 128 << 12)
        try client.map(address: 0, size: 128 << 12, file: memory.descriptor)
        try client.startDirtyLog(pageSize: 4096)
        try fill(client, 70 << 12, 1, with: 1)
        try command(client, .load, source: 5 << 12, length: 16)
        let report = DMALoggingReport(address: 0, length: 128 << 12, pageSize: 4096)
        var expected = [UInt8](repeating: 0, count: 16)
        expected[8] = 0b0100_0000
        #expect(try client.dirtyPages(report) == expected)
        #expect(try client.dirtyPages(report) == [UInt8](repeating: 0, count: 16), "read and cleared")
        try client.stopDirtyLog()
        #expect(throws: ClientError.refused(.deviceFeature, .invalidArgument)) { try client.dirtyPages(report) }
    }
}
