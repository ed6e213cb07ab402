import FakeGuest
import Linux
import Testing
import VFIO

/// VFIO_USER_MIG_DATA_READ and VFIO_USER_MIG_DATA_WRITE
@Suite struct MigrationDataTests {
    private func save(_ bench: Bench, piece: UInt32 = 1 << 20) throws -> [UInt8] {
        try bench.go(to: .stopCopy)
        var state: [UInt8] = []
        while true {
            let reply = try bench.call(.migrationDataRead, wire(piece + 8, piece))
            let count = try #require(reply.field(UInt32.self, at: 4))
            #expect(reply.field(UInt32.self, at: 0) == count + 8 && reply.payload.count == Int(count) + 8)
            state += reply.payload.dropFirst(8)
            if count < piece { return state }
        }
    }

    private func restore(_ state: [UInt8], to bench: Bench, piece: Int = 1 << 20) throws {
        try bench.go(to: .resuming)
        for start in stride(from: 0, to: state.count, by: piece) {
            let part = Array(state[start..<min(start + piece, state.count)])
            let reply = try bench.call(.migrationDataWrite, wire(UInt32(part.count + 8), UInt32(part.count)) + part)
            #expect(reply.payload.isEmpty)
        }
        try bench.go(to: .running)
    }

    @Test(arguments: [100, 4096, 1 << 20] as [UInt32])
    func anExerciserGoesOnElsewhere(_ piece: UInt32) throws {
        let source = try Bench()
        try source.write(UInt32(0xdead_beef), at: 4)
        try source.write(UInt64(1) << 63, at: 8)
        try source.write(UInt16(7), region: 7, at: 4)
        let buffer = (0..<64 << 10).map { UInt8(truncatingIfNeeded: $0 * 7 ^ $0 >> 8) }
        try source.call(.regionWrite, wire(UInt64(0x1000), UInt32(2), UInt32(buffer.count)) + buffer)
        let target = try Bench()
        try restore(try save(source, piece: piece), to: target, piece: Int(piece))
        #expect(try target.read(UInt32.self, at: 4) == 0xdead_beef)
        #expect(try target.read(UInt64.self, at: 8) == 1 << 63)
        #expect(try target.read(UInt16.self, region: 7, at: 4) == 7)
        let reply = try target.call(.regionRead, wire(UInt64(0x1000), UInt32(2), UInt32(buffer.count)))
        #expect(Array(reply.payload.dropFirst(16)) == buffer)
    }

    @Test func aDoorbellRungBeforeTheStopIsPartOfTheState() throws {
        let source = try Bench()
        let bells = try source.call(.deviceGetRegionIOFDs, wire(UInt32(96), UInt32(0), UInt32(0), UInt32(0)))
        let bell = try EventFD(adopting: #require(bells.files.first).descriptor.duplicate())
        let stop = wire(UInt32(16), UInt32(2 | 1 << 17), MigrationState.stop.rawValue, UInt32(0))
        let stopCopy = stop.replacing(at: 8, with: MigrationState.stopCopy.rawValue)
        let bytes = message(.deviceFeature, id: 1, stop) + message(.deviceFeature, id: 2, stopCopy)
        // While the device's thread is busy here, so that the messages are there as soon as the ring is.
        let client = source.client
        let isSent = source.device.onThread { [lent = Lent(client)] _, _ in
            bell.signal()
            return (try? lent.client.send(bytes)) != nil
        }
        #expect(isSent)
        for _ in 0..<2 { #expect(try client.receive()?.errno == nil) }
        let target = try Bench()
        try restore(try save(source), to: target)
        #expect(try target.read(UInt64.self, at: 0x78) == 1)
    }

    /// A client that the device's thread uses while the test's waits.

    @Test func aDisplayGoesOnElsewhereWithItsPicture() throws {
        let options = ["vram=4M"]
        let source = try Bench("bochs-display", options: options)
        let pixels = (0..<1 << 16).map { UInt8(truncatingIfNeeded: $0 &* 31 >> 3) }
        try source.call(.regionWrite, wire(UInt64(0x10_0000), UInt32(0), UInt32(pixels.count)) + pixels)
        for (register, value) in [(1, 640), (2, 480), (3, 32), (4, 0x81)] as [(UInt64, UInt16)] {
            try source.write(value, region: 2, at: 0x500 + register * 2)
        }
        let before = try source.call(.regionRead, wire(UInt64(0x500), UInt32(2), UInt32(22))).payload
        let target = try Bench("bochs-display", options: options)
        // What was there before is gone.
        try target.write(UInt32(1), at: 0x20_0000)
        try restore(try save(source), to: target)
        #expect(try target.call(.regionRead, wire(UInt64(0x500), UInt32(2), UInt32(22))).payload == before)
        let shown = try target.call(.regionRead, wire(UInt64(0x10_0000), UInt32(0), UInt32(pixels.count)))
        #expect(Array(shown.payload.dropFirst(16)) == pixels)
        #expect(try target.read(UInt32.self, at: 0x20_0000) == 0)
    }

    @Test func thereIsNothingToReadOrWriteAtOtherTimes() throws {
        let bench = try Bench()
        for state in [MigrationState.running, .stop] {
            try bench.go(to: state)
            try bench.expectRefusal(.invalidArgument, of: .migrationDataRead, wire(UInt32(16), UInt32(8)))
            try bench.expectRefusal(.invalidArgument, of: .migrationDataWrite, wire(UInt32(9), UInt32(1), UInt8(1)))
        }
        try bench.go(to: .stopCopy)
        try bench.expectRefusal(.invalidArgument, of: .migrationDataWrite, wire(UInt32(9), UInt32(1), UInt8(1)))
        try bench.go(to: .resuming)
        try bench.expectRefusal(.invalidArgument, of: .migrationDataRead, wire(UInt32(16), UInt32(8)))
    }

    @Test func readsThatDoNotFitAreInvalid() throws {
        let bench = try Bench()
        try bench.go(to: .stopCopy)
        for payload in wrongLengths(of: wire(UInt32(16), UInt32(8))) + [
            wire(UInt32(7), UInt32(0)), wire(UInt32(15), UInt32(8)), wire(UInt32.max, UInt32(1 << 20) + 1),
            wire(UInt32.max, UInt32.max), wire(UInt32(0), UInt32.max),
        ] {
            try bench.expectRefusal(.invalidArgument, of: .migrationDataRead, payload)
        }
        try bench.post(.migrationDataRead, wire(UInt32(9), UInt32(1)))
    }

    @Test func writesThatDoNotFitAreInvalid() throws {
        let bench = try Bench()
        try bench.go(to: .resuming)
        for count in [0, 3, 5, .max] as [UInt32] {
            let payload = wire(UInt32(12), count, UInt32(0))
            try bench.expectRefusal(.invalidArgument, of: .migrationDataWrite, payload)
        }
        #expect(try bench.migrationState() == .resuming)
    }

    @Test func garbageIsAnErrorUntilTheReset() throws {
        let bench = try Bench()
        try bench.write(UInt32(5), at: 4)
        try bench.go(to: .resuming)
        let garbage = [UInt8](repeating: 0xa5, count: 64)
        try bench.expectRefusal(.invalidArgument, of: .migrationDataWrite, wire(UInt32(72), UInt32(64)) + garbage)
        #expect(try bench.migrationState() == .error)
        for state in MigrationState.allCases {
            try bench.expectRefusal(.invalidArgument, of: .deviceFeature, Bench.goPayload(state.rawValue))
        }
        try bench.call(.deviceReset)
        #expect(try bench.migrationState() == .running)
        #expect(try bench.read(UInt32.self, at: 4) == 0)
    }

    @Test func halfAStateIsAnError() throws {
        let state = try save(try Bench())
        let bench = try Bench()
        for count in [0, 8, state.count / 2, state.count - 1] {
            try bench.go(to: .resuming)
            let part = Array(state.prefix(count))
            try bench.call(.migrationDataWrite, wire(UInt32(count + 8), UInt32(count)) + part)
            try bench.expectRefusal(.invalidArgument, of: .deviceFeature, Bench.goPayload(1))
            #expect(try bench.migrationState() == .error)
            try bench.call(.deviceReset)
        }
    }

    @Test func aStateOfAnotherDeviceIsAnError() throws {
        let state = try save(try Bench("serial"))
        let bench = try Bench()
        try bench.go(to: .resuming)
        _ = try bench.client.call(.migrationDataWrite, wire(UInt32(state.count + 8), UInt32(state.count)) + state)
        _ = try bench.client.call(.deviceFeature, Bench.goPayload(1))
        #expect(try bench.migrationState() == .error)
    }
}
