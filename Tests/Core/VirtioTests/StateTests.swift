import Device
import EchoDevice
import FakeDriver
import FakeGuest
import JSON
import Linux
import Testing
import VFIOUserClient
import Virtio

/// A device goes on elsewhere where it stopped, with the chains that it had in hand.
@Suite struct StateTests {
    /// Runs `body` with another device in the state of a bench's and with the same memory, which the driver uses from
    /// then on.
    private func move(_ bench: Bench, _ body: (Bench) throws -> Void) throws {
        let state = try bench.client.saveState()
        let other = try Bench(ram: bench.ram) { host in
            typealias Echo = VirtioFunction<EchoDevice>
            return try Echo(options: DeviceOptions(for: Echo.type), host: host)
        }
        try other.client.restore(state)
        bench.driver.registers = try other.client
        try body(other)
    }

    @Test(arguments: RingKind.all)
    func aQueueGoesOnElsewhere(kind: RingKind) throws {
        let (bench, queue) = try Bench.ready(kind)
        for round in 0..<11 { try bench.echo("round \(round)", by: queue) }
        try bench.driver.setDeviceConfiguration(0, .dword, 77)
        try move(bench) { other in
            for round in 0..<11 { try bench.echo("another round \(round)", by: queue) }
            #expect(try bench.driver.deviceConfiguration(0, .dword) == 77)
            #expect(try other.failure == nil)
        }
    }

    @Test(arguments: RingKind.all)
    func chainsInFlightAreTakenAgain(kind: RingKind) throws {
        let (bench, queue) = try Bench.ready(kind, queue: 1)
        let driver = bench.driver
        let targets = (0..<3).map { _ in driver.allocate([0]) }
        let ids = (0..<3).map { number in
            queue.add(
                [.readable(driver.allocate([UInt8(0xb0 + number)]), 1), .writable(targets[number], 1)],
                isIndirect: number == 1)
        }
        try driver.notify(queue)
        // The second's completion overwrites, in a packed ring, descriptors of the first.
        try driver.setDeviceConfiguration(EchoDevice.completion, .byte, UInt64(ids[1]))
        #expect(queue.takeUsed() == Used(id: ids[1], count: 1))
        try move(bench) { other in
            #expect(try other.inside { $0.driver.keptIDs } == [ids[0], ids[2]])
            for number in [2, 0] {
                try driver.setDeviceConfiguration(EchoDevice.completion, .byte, UInt64(ids[number]))
                #expect(queue.takeUsed() == Used(id: ids[number], count: 1))
                #expect(driver.bytes(at: targets[number], count: 1) == [UInt8(0xb0 + number)])
            }
            #expect(try other.failure == nil)
        }
    }

    @Test(arguments: RingKind.all)
    func aChainThatCameWhileTheDeviceStoodStillIsTaken(kind: RingKind) throws {
        let (bench, queue) = try Bench.ready(kind)
        try bench.client.setMigrationState(.stop)
        let id = queue.add(.readable(bench.driver.allocate([1]), 1))
        try bench.client.setMigrationState(.running)
        _ = try bench.inside { _ in true }
        #expect(queue.takeUsed() == Used(id: id, count: 0))
    }

    @Test func aDeviceGoesOnAfterItWasSaved() throws {
        let (bench, queue) = try Bench.ready(.packed, queue: 1)
        let id = queue.add(.readable(bench.driver.allocate([1]), 1), .writable(bench.driver.allocate(1), 1))
        try bench.driver.notify(queue)
        _ = try bench.client.saveState()
        try bench.client.setMigrationState(.running)
        try bench.driver.setDeviceConfiguration(EchoDevice.completion, .byte, UInt64(id))
        #expect(queue.takeUsed() == Used(id: id, count: 1))
    }

    @Test func theHandshakeAndTheRegistersMove() throws {
        let (bench, _) = try Bench.ready(.packed)
        try bench.driver.set(.configVector, 2)
        try bench.driver.setDeviceConfiguration(EchoDevice.action, .byte, UInt64(EchoDevice.Action.change.rawValue))
        let fields: [VirtioDriver.Field] = [
            .status, .generation, .configVector, .queueSelect, .queueSize, .queueVector, .queueEnable,
            .queueDescriptors, .queueDriver, .queueDevice, .driverFeatureSelect, .driverFeature,
        ]
        let before = try fields.map { try bench.driver[$0] }
        try move(bench) { _ in
            let after = try fields.map { try bench.driver[$0] }
            #expect(after == before)
        }
    }

    @Test func theInterruptStatusMoves() throws {
        let (bench, queue) = try Bench.ready(.split)
        try bench.echo("hello", by: queue)
        try move(bench) { other in
            let pin = try EventFD()
            try other.client.setEventFDs([pin], kind: .intx)
            #expect(pin.consume() == 1)
            #expect(try bench.driver.interruptStatus() == 1)
        }
    }

    @Test func anInterruptStatusOfMessagesMovesWithoutThePin() throws {
        let (bench, _) = try Bench.ready(.split)
        _ = try bench.useMessages()
        try bench.driver.setDeviceConfiguration(EchoDevice.action, .byte, UInt64(EchoDevice.Action.change.rawValue))
        try move(bench) { other in
            let pin = try EventFD()
            try other.client.setEventFDs([pin], kind: .intx)
            #expect(pin.consume() == 0)
            #expect(try bench.driver.interruptStatus() == 2)
        }
    }

    @Test func aDeviceThatNeedsAResetMovesAsOne() throws {
        let (bench, _) = try Bench.ready(.split)
        try bench.driver.setDeviceConfiguration(EchoDevice.action, .byte, UInt64(EchoDevice.Action.fail.rawValue))
        try move(bench) { _ in
            #expect(try bench.driver.needsReset)
            try bench.echo("recovered", by: bench.start(.split))
        }
    }

    // MARK: States that can't be

    @Test(arguments: [
        (#""status":15"#, #""status":31"#), (#""status":15"#, #""status":256"#),
        (#""driverFeatures":["#, #""driverFeatures":[16,"#),
        (#""configurationVector":65535"#, #""configurationVector":3"#),
        (#""vector":2"#, #""vector":9"#), (#""size":8"#, #""size":7"#), (#""isEnabled":true"#, #""isEnabled":false"#),
        (#""available":1"#, #""available":2"#), (#""used":0"#, #""used":1"#), (#""number":305419896"#, #""number":0"#),
        (#""queues":["#, #""queues":[],"other":["#), (#""descriptors":["#, #""descriptors":[],"other":["#),
    ])
    func aStateThatCantBeIsRefused(_ change: (part: String, other: String)) throws {
        let (bench, queue) = try Bench.ready(.split, queue: 1)
        queue.add(.readable(bench.driver.allocate([1]), 1))
        try bench.driver.notify(queue)
        let state = try bench.client.saveState()
        let changed = try replacing(change.part, with: change.other, in: state)

        let other = try Bench()
        try other.client.setMigrationState(.resuming)
        try other.client.writeMigrationData(changed.span.bytes)
        #expect(throws: ClientError.refused(.deviceFeature, .invalidArgument)) {
            try other.client.setMigrationState(.running)
        }
    }

    /// A saved state without memory, with what comes first of some text replaced.
    private func replacing(_ part: String, with other: String, in state: [UInt8]) throws -> [UInt8] {
        let text = String(decoding: state.dropFirst(16), as: UTF8.self)
        try #require(text.contains(part), "\(text)")
        let changed = Array(text.replacing(part, with: other, maxReplacements: 1).utf8)
        let length = UInt32(state[12..<16].reversed().reduce(0) { $0 << 8 | Int($1) } + changed.count - text.utf8.count)
        return Array(state.prefix(12)) + wire(length) + changed
    }

    // MARK: Versions

    private func meter() throws -> Bench {
        try Bench { host in
            typealias Metering = VirtioFunction<Meter>
            return try Metering(options: DeviceOptions(for: Metering.type), host: host)
        }
    }

    @Test(arguments: ["", #""deviceVersion":1,"#])
    func anOlderStateOfTheDeviceIsReadByItsReader(version: String) throws {
        let bench = try meter()
        #expect(try bench.driver.deviceConfiguration(0, .dword) == 5)
        let old = try replacing(
            #""deviceVersion":2,"device":{"count":5}"#, with: version + #""device":{"high":1,"low":2}"#,
            in: bench.client.saveState())
        try bench.client.restore(old)
        #expect(try bench.driver.deviceConfiguration(0, .dword) == 0x1_0002)
    }

    @Test(arguments: ["3", "0", #""2""#])
    func aVersionOfTheDeviceThatIsNoneIsRefused(version: String) throws {
        let bench = try meter()
        let state = try replacing(
            #""deviceVersion":2"#, with: #""deviceVersion":"# + version, in: bench.client.saveState())
        #expect(throws: ClientError.self) { try bench.client.restore(state) }
    }

    @Test func aNewerStateOfTheDeviceIsToldAsSuch() {
        let state: JSON = ["device": ["unheardOf": 1], "deviceVersion": 3]
        let error = #expect(throws: StateError.self) {
            try VirtioFunction<Meter>.upToDate(state, from: 1, of: "the transport")
        }
        let text = error?.description ?? ""
        #expect(text.contains("'meter' behind its queues has version 3, made by a newer Mediated"), "\(text)")
    }
}

/// Counts in one number, in the second version of its state; in the first one there were two halves.
private final class Meter: VirtioDevice {
    static let type = DeviceType(name: "meter", summary: "A meter")
    static let id = VirtioID(62, class: .unclassified)
    static let stateVersion = 2

    let queueSizes = [8]
    private(set) var state = State(count: 5)

    struct State: Codable, Sendable {
        var count: UInt32
    }

    init(options: DeviceOptions, port: VirtioPort) {}

    var configuration: [UInt8] { wire(state.count) }

    func process(_ queue: Int) {}
    func reset() { state = State(count: 5) }
    func restore(_ state: State) { self.state = state }

    static func migrate(_ state: JSON, from version: Int) throws(StateError) -> JSON {
        guard let high = state["high"]?.int, let low = state["low"]?.int else { throw StateError("A half is missing.") }
        return ["count": JSON(high << 16 | low)]
    }
}
