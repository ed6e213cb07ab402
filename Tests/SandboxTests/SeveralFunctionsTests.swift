import Control
import FakeGuest
import Foundation
import Linux
import Programs
import Testing
import VFIO
import VFIOUserClient

/// A confined process that serves two functions, each on a socket and a thread of its own.
@Suite struct SeveralFunctionsTests {
    let scratch: Scratch

    init() throws {
        scratch = try Scratch()
    }

    private static let types = ["bochs-display", "exerciser"]

    private func socket(_ index: Int) -> String { scratch.path("function\(index)") }

    private func control(_ index: Int) throws -> ControlClient {
        try ControlClient(connectingTo: ControlClient.path(besides: socket(index)))
    }

    /// Starts the process, and returns when both are served.
    private func start(_ arguments: [[String]] = [[], []], isSandboxed: Bool = true) throws -> Child {
        try startWithLog(arguments, isSandboxed: isSandboxed).child
    }

    /// - Returns: what it said meanwhile, too.
    private func startWithLog(
        _ arguments: [[String]], isSandboxed: Bool = true
    ) throws -> (child: Child, log: String) {
        let words = Self.types.indices.flatMap { [Self.types[$0], "--socket", socket($0)] + arguments[$0] }
        let child = try Child("mediated-device", words + (isSandboxed ? ["--sandbox"] : []))
        var said = ""
        while !Self.types.allSatisfy({ said.contains("Serving '\($0)'") }) { said += try child.errors(until: "\n") }
        return (child, said)
    }

    /// Writes and reads the interrupt line, a byte that every function keeps for the guest.
    private func drive(_ client: Client, _ values: ClosedRange<UInt8> = 1...100) throws {
        for value in values {
            try client.write(value, region: 7, offset: 0x3c)
            #expect(try client.read(UInt8.self, region: 7, offset: 0x3c) == value)
        }
    }

    @Test func everyThreadOfBothIsConfined() throws {
        let process = try start()
        // For each function its own, the sentry, and three that close what peers have sent.
        #expect(try process.status("Threads") == ["10"])
        for thread in try FileManager.default.contentsOfDirectory(atPath: "/proc/\(process.pid)/task") {
            #expect(try process.status("Seccomp", ofThread: thread) == ["2"])
            #expect(try process.status("NoNewPrivs", ofThread: thread) == ["1"])
            #expect(try process.status("CapEff", ofThread: thread) == ["0000000000000000"])
        }
    }

    @Test(arguments: [true, false])
    func clientsOfBothAreServedAtOnce(isSandboxed: Bool) throws {
        let process = try start(isSandboxed: isSandboxed)
        let clients = try [0, 1].map { try Client(path: socket($0)) }
        for value in UInt8(1)...100 {
            try drive(clients[0], value...value)
            try drive(clients[1], 255 - value...255 - value)
            #expect(try clients[0].read(UInt8.self, region: 7, offset: 0x3c) == value)
        }
        for index in [0, 1] {
            let info = try control(index).info()
            #expect(info.type == Self.types[index])
            #expect(info.socket == socket(index))
            #expect(info.process == process.pid)
            #expect(info.clientConnected)
            #expect(try control(index).statistics()["sessions"] == 1)
        }
        // Bochs' display has a head; the other function has none.
        #expect(throws: ControlClientError.self) { try control(1).screenshot() }
    }

    @Test(arguments: [0, 1])
    func halfAMessageKeepsNobodyElseWaiting(silent: Int) throws {
        let process = try start()
        var slow: RawClient? = try RawClient(path: socket(silent))
        try slow?.negotiate()
        try slow?.send(Array(message(.deviceReset).prefix(8)))
        let client = try Client(path: socket(1 - silent))
        try drive(client)
        // It leaves in the middle of its message.
        slow = nil
        try drive(client)
        let events = try control(silent)
        var told = try events.events(within: .seconds(60))
        while !told.events.contains(where: { $0.kind == ControlEvent.Kind.clientLeft.rawValue }) {
            told = try events.events(after: told.last, within: .seconds(60))
        }
        try drive(Client(path: socket(silent)))
        try control(silent).stop()
        #expect(process.wait() == .exit(0))
    }

    @Test func aDeviceThatWaitsForItsClientKeepsNobodyElseWaiting() throws {
        let process = try start()
        let slow = try RawClient(path: socket(1))
        try slow.negotiate()
        func write(_ value: some FixedWidthInteger, at offset: UInt64, region: UInt32 = 0) -> [UInt8] {
            wire(offset, region, UInt32(value.bitWidth / 8), value)
        }
        // Memory that the device reaches by messages only, and a command that loads 4 bytes from there.
        let map = DMAMap(flags: [.read, .write], address: 0x10000, length: 0x1000)
        #expect(try slow.call(.dmaMap, wire(map.write)).errno == nil)
        let busMaster = write(UInt16(4), at: 4, region: 7)
        for payload in [busMaster, write(UInt64(0x10000), at: 0x20), write(UInt32(4), at: 0x30)] {
            #expect(try slow.call(.regionWrite, payload).errno == nil)
        }
        let request = try slow.call(.regionWrite, write(UInt32(1), at: 0x38))
        #expect(request.header.command == Command.dmaRead.rawValue)
        // The device's thread waits for the answer now.
        let client = try Client(path: socket(0))
        try drive(client)
        #expect(try control(0).info().clientConnected)
        let answer = message(.dmaRead, id: request.header.id, request.payload + [1, 2, 3, 4], flags: .reply)
        try slow.send(answer)
        #expect(try slow.receive()?.header.command == Command.regionWrite.rawValue)
        let status = try slow.call(.regionRead, wire(UInt64(0x3c), UInt32(0), UInt32(4)))
        #expect(status.field(UInt32.self, at: 16) == 0, "It got what it had waited for.")
        try control(0).stop()
        #expect(process.wait() == .exit(0))
    }

    @Test(arguments: [0, 1, nil])
    func bothEndTogether(byControlOf index: Int?) throws {
        let process = try start()
        let clients = try [0, 1].map { try Client(path: socket($0)) }
        if let index { try control(index).stop() } else { process.terminate() }
        #expect(process.wait() == .exit(0))
        for client in clients { #expect(throws: ClientError.self) { try client.reset() } }
    }

    @Test func socketsOfBothGoWithAProcessThatIsNotConfined() throws {
        let process = try start(isSandboxed: false)
        process.terminate()
        #expect(process.wait() == .exit(0))
        for path in [0, 1].flatMap({ [socket($0), ControlClient.path(besides: socket($0))] }) {
            #expect(!FileManager.default.fileExists(atPath: path))
        }
    }

    @Test func eachGoesOnFromItsOwnState() throws {
        let before = try start()
        for index in [0, 1] { try drive(Client(path: socket(index)), UInt8(40 + index)...UInt8(40 + index)) }
        let states = try [0, 1].map { index in
            let path = scratch.path("state\(index)")
            try Data(control(index).save().bytes()).write(to: URL(fileURLWithPath: path))
            return path
        }
        before.terminate()
        #expect(before.wait() == .exit(0))
        let after = try start(states.map { ["--restore", $0] })
        for index in [0, 1] {
            let client = try Client(path: socket(index))
            #expect(try client.read(UInt8.self, region: 7, offset: 0x3c) == UInt8(40 + index))
        }
        after.terminate()
        #expect(after.wait() == .exit(0))
    }

    @Test func theLogTellsThemApart() throws {
        let log = try startWithLog([["--name", "screen"], []]).log
        #expect(log.contains("mediated-device: screen: Serving 'bochs-display' at \(socket(0)).\n"))
        #expect(log.contains("mediated-device: \(socket(1)): Serving 'exerciser' at \(socket(1)).\n"))
    }
}
