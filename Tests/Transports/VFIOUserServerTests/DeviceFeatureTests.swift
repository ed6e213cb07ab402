import FakeGuest
import Linux
import Testing
import VFIO

/// VFIO_USER_DEVICE_FEATURE
@Suite struct DeviceFeatureTests {
    private let bench: Bench
    private static let get: UInt32 = 1 << 16
    private static let set: UInt32 = 1 << 17
    private static let probe: UInt32 = 1 << 18

    init() throws {
        bench = try Bench()
    }

    private func feature(_ index: UInt32, _ operation: UInt32, argsz: UInt32 = 4096, _ data: [UInt8] = []) -> [UInt8] {
        wire(argsz, index | operation) + data
    }

    @Test func whatCanBeDoneCanBeProbed() throws {
        let possible: [(UInt32, UInt32)] = [
            (1, Self.get), (2, Self.get), (2, Self.set), (2, Self.get | Self.set), (6, Self.set), (7, Self.set),
            (8, Self.get), (1, 0),
        ]
        for (index, operations) in possible {
            let reply = try bench.call(.deviceFeature, feature(index, operations | Self.probe, argsz: 8))
            #expect(reply.payload == feature(index, operations | Self.probe, argsz: 8))
        }
        let impossible: [(UInt32, UInt32)] = [
            (1, Self.set), (6, Self.get), (7, Self.get), (8, Self.set), (0, Self.get), (3, Self.get), (4, Self.set),
            (5, Self.set), (9, Self.get), (0xffff, 0),
        ]
        for (index, operations) in impossible {
            let payload = feature(index, operations | Self.probe)
            try bench.expectRefusal(.inappropriateIOCTLForDevice, of: .deviceFeature, payload)
            if operations != 0 {
                let payload = feature(index, operations)
                try bench.expectRefusal(.inappropriateIOCTLForDevice, of: .deviceFeature, payload)
            }
        }
    }

    @Test func wrongRequestsAreInvalid() throws {
        for payload in [
            [], Array(feature(1, Self.get).dropLast()), feature(1, 0), feature(2, Self.get | Self.set),
            feature(1, Self.get, argsz: 7), feature(1, Self.get, argsz: 15), feature(1, Self.get | 1 << 19),
            feature(2, Self.set), feature(2, Self.set, [0, 0, 0, 0]), feature(2, Self.set, argsz: 15, wire(UInt64(1))),
            feature(7, Self.set, [0]),
        ] {
            try bench.expectRefusal(.invalidArgument, of: .deviceFeature, payload)
        }
    }

    @Test func theDeviceOffersStopCopy() throws {
        let reply = try bench.call(.deviceFeature, feature(1, Self.get))
        #expect(reply.payload == feature(1, Self.get, argsz: 16) + wire(UInt64(1)))
    }

    @Test func everyArcBetweenTheOfferedStatesIsTaken() throws {
        let states: [MigrationState] = [.running, .stop, .stopCopy, .resuming]
        for from in states {
            for to in states {
                try bench.call(.deviceReset)
                try bench.go(to: from)
                if from == .resuming, to != .resuming {
                    // Nothing has come: that is no state of a device.
                    try bench.expectRefusal(.invalidArgument, of: .deviceFeature, Bench.goPayload(to.rawValue))
                    #expect(try bench.migrationState() == .error)
                } else {
                    try bench.go(to: to)
                    #expect(try bench.migrationState() == to)
                }
            }
        }
    }

    @Test(arguments: [0, 5, 6, 7, 8, .max] as [UInt32])
    func otherStatesAreInvalidAndNothingChanges(_ number: UInt32) throws {
        for state in [MigrationState.running, .stop, .stopCopy] {
            try bench.go(to: state)
            try bench.expectRefusal(.invalidArgument, of: .deviceFeature, Bench.goPayload(number))
            #expect(try bench.migrationState() == state)
        }
    }

    @Test(arguments: [MigrationState.stop, .stopCopy, .resuming])
    func aDeviceThatStandsStillTakesNoWrites(in state: MigrationState) throws {
        let capability = try bench.capability(0x10)
        try bench.write(UInt32(7), at: 4)
        let command = try bench.read(UInt16.self, region: 7, at: 4)
        try bench.go(to: state)
        try bench.expectRefusal(
            .resourceBusy, of: .regionWrite, wire(UInt64(4), UInt32(0), UInt32(4), UInt32(1)))
        // A function-level reset, and bus mastering.
        try bench.expectRefusal(
            .resourceBusy, of: .regionWrite, wire(capability + 8, UInt32(7), UInt32(2), UInt16(0x8000)))
        try bench.expectRefusal(.resourceBusy, of: .regionWrite, wire(UInt64(4), UInt32(7), UInt32(2), UInt16(0)))
        #expect(try bench.read(UInt32.self, at: 4) == 7)
        #expect(try bench.read(UInt16.self, region: 7, at: 4) == command)
        if state == .resuming { try bench.call(.deviceReset) } else { try bench.go(to: .running) }
        try bench.write(UInt16(4), region: 7, at: 4)
        try bench.write(UInt32(1), at: 4)
    }

    @Test(arguments: [0, 3, 6144, 1 << 31, 1 << 63] as [UInt64])
    func whatIsNoPageSizeStartsNoLog(_ pageSize: UInt64) throws {
        try bench.expectRefusal(.invalidArgument, of: .deviceFeature, start(pageSize))
        try bench.call(.deviceFeature, start(1 << 30))
    }

    // MARK: Dirty log

    private func start(_ pageSize: UInt64 = 4096, _ ranges: [(UInt64, UInt64)] = [], count: UInt32? = nil) -> [UInt8] {
        ranges.reduce(feature(6, Self.set, wire(pageSize, count ?? UInt32(ranges.count), UInt32(0)))) {
            $0 + wire($1.0, $1.1)
        }
    }

    private func report(
        argsz: UInt32 = 4096, _ address: UInt64 = 0, _ size: UInt64 = 0x4000, _ pageSize: UInt64 = 4096
    ) -> [UInt8] {
        feature(8, Self.get, argsz: argsz, wire(address, size, pageSize))
    }

    @Test func writtenPagesAreReportedOnce() throws {
        let memory = try GuestRAM(at: 0, size: 0x4000)
        try bench.map(memory)
        #expect(try bench.transfer(Bench.fill, to: 0x3000, length: 1) == 0)
        try bench.call(.deviceFeature, start())
        #expect(try bench.transfer(Bench.fill, to: 0xfff, length: 2) == 0)
        #expect(try bench.transfer(Bench.load, from: 0x2000, length: 2) == 0)
        let reply = try bench.call(.deviceFeature, report(argsz: 40))
        #expect(reply.payload == report(argsz: 40) + wire(UInt64(0b0011)))
        #expect(try bench.call(.deviceFeature, report(argsz: 40)).payload == report(argsz: 40) + wire(UInt64(0)))
        try bench.call(.deviceFeature, feature(7, Self.set))
        try bench.expectRefusal(.invalidArgument, of: .deviceFeature, report())
    }

    @Test func onlyTheRangesAreWatched() throws {
        let memory = try GuestRAM(at: 0, size: 0x4000)
        try bench.map(memory)
        let reply = try bench.call(.deviceFeature, start(4096, [(0x1000, 0x1000), (0x3000, 0x1000)]))
        #expect(reply.payload.dropFirst(4) == start(4096, [(0x1000, 0x1000), (0x3000, 0x1000)]).dropFirst(4))
        #expect(try bench.transfer(Bench.fill, to: 0, length: 0x4000) == 0)
        #expect(try bench.call(.deviceFeature, report()).field(UInt64.self, at: 32) == 0b1010)
    }

    @Test func aLogThatCanNotStartDoesNot() throws {
        for payload in [
            start(5000), start(4096, [(1, 4096)]), start(4096, [(0, 0)]), start(4096, [(0, 4095)]),
            start(4096, [(0, 8192), (4096, 4096)]), start(4096, [], count: 1), start(4096, [(0, 4096)], count: 0),
            start(4096, [], count: .max), start() + [0], feature(6, Self.set),
            feature(6, Self.set, wire(UInt64(4096), UInt32(0), UInt32(1))),
        ] {
            try bench.expectRefusal(.invalidArgument, of: .deviceFeature, payload)
        }
        try bench.expectRefusal(.overflow, of: .deviceFeature, start(4096, [(UInt64.max - 4095, 8192)]))
        try bench.call(.deviceFeature, start(1))
        try bench.expectRefusal(.invalidArgument, of: .deviceFeature, start())
    }

    @Test func wrongReportsAreInvalid() throws {
        try bench.expectRefusal(.invalidArgument, of: .deviceFeature, report())
        try bench.call(.deviceFeature, start())
        for payload in [
            report(argsz: 39), report(0, 0), report(0, 0x4000, 0), report(0, 0x4000, 3), report(0, .max, 4096),
            Array(report().dropLast()), report(argsz: .max, 0, 1 << 62, 4096),
        ] {
            let reply = try bench.client.call(.deviceFeature, payload)
            #expect(reply.errno == .invalidArgument || reply.errno == .overflow)
        }
        try bench.call(.deviceFeature, report())
    }
}

extension Bench {
    static func goPayload(_ state: UInt32) -> [UInt8] {
        wire(UInt32(16), UInt32(2 | 1 << 17), state, UInt32(0))
    }

    func go(to state: MigrationState, sourceLocation: SourceLocation = #_sourceLocation) throws {
        try call(.deviceFeature, Self.goPayload(state.rawValue), sourceLocation: sourceLocation)
    }

    func migrationState() throws -> MigrationState? {
        let reply = try call(.deviceFeature, wire(UInt32(16), UInt32(2 | 1 << 16)))
        return reply.field(UInt32.self, at: 8).flatMap(MigrationState.init)
    }
}
