import Control
import Device
import FakeGuest
import Foundation
import Linux
import Programs
import Testing

/// What a device process tells its administrator.
@Suite struct EventTests {
    let scratch: Scratch

    init() throws {
        scratch = try Scratch()
    }

    @Test func clientsThatComeAndGoAreTold() throws {
        let device = try RunningDevice("exerciser", in: scratch)
        let control = try ControlClient(connectingTo: ControlClient.path(besides: device.socket))
        let start = try control.events(within: .seconds(10))
        #expect(start.events.map(\.kind) == ["started"])
        #expect(start.events.map(\.message) == ["Serving 'exerciser' at \(device.socket)."])
        let client = try RawClient(path: device.socket)
        let arrival = try control.events(after: start.last, within: .seconds(10))
        #expect(arrival.events.map(\.kind) == ["client-connected"])
        #expect(arrival.events[0].message == "A client connected: uid \(geteuid()) (process \(getpid())).")
        client.socket.shutDown()
        let departure = try control.events(after: arrival.last, within: .seconds(10))
        #expect(departure.events.map(\.kind) == ["client-left"])
        #expect(
            departure.events[0].message == "The client's session ended: the client closed the connection.")
        #expect(departure.events[0].time >= arrival.events[0].time)
    }

    @Test func aQuotaThatChangesIsInTheStatistics() throws {
        let device = try RunningDevice("bochs-display", "-o", "vram=4M", "-o", "aperture=16M", in: scratch)
        let control = try ControlClient(connectingTo: ControlClient.path(besides: device.socket))
        let quota = Quota(videoMemory: 16 << 20, frameRate: 30)
        #expect(try control.modify(Quota(videoMemory: 16 << 20, frameRate: 30)) == quota)
        let statistics = try control.statistics()
        #expect(statistics["videoMemoryQuota"] == 16_777_216)
        #expect(statistics["videoMemoryUsed"] == 0)
        #expect(statistics["frameRate"] == 30)
        #expect(statistics["frames"] == 0)
        #expect(try control.events(after: 1, within: .seconds(10)).events.map(\.kind) == ["modified"])
        #expect(throws: ControlClientError.self) { try control.modify(Quota(videoMemory: 32 << 20)) }
    }

    @Test(.enabled(if: geteuid() == 0, "Only root can connect as another user."))
    func whoMayNotBeAClientIsToldByNameInTheLog() throws {
        let socket = scratch.path("socket")
        let device = try DaemonsDevice(
            "exerciser", "--socket", socket, "--mode", "0666", "--allow-user", "1001", "--allow-group", "2002",
            "--name", "one")
        try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: scratch.url.path)
        #expect(try RawClient(path: socket, user: 1002, group: 1).negotiate().errno == .permissionDenied)
        #expect(try RawClient(path: socket, user: 1001, group: 1).negotiate().errno == nil)
        let control = try ControlClient(connectingTo: ControlClient.path(besides: socket))
        #expect(try control.info().name == "one")
        #expect(try control.statistics()["deniedClients"] == 1)
        let denial = try #require(try control.events(after: 1, within: .seconds(10)).events.first)
        #expect(denial.kind == "client-denied")
        #expect(denial.message == "uid 1002 (process \(getpid())) may not use this vGPU.")
        try control.stop()
        let log = device.log()
        #expect(log.contains("mediated-device: one: Serving 'exerciser' at \(socket).\n"))
        #expect(log.contains("mediated-device: one: \(denial.message)\n"))
    }

    @Test(arguments: ["--allow-user", "--allow-group"], ["root", "-1", "4294967296", ""])
    func whoIsAllowedIsSaidByNumber(option: String, value: String) throws {
        let program = try Program.folder.appendingPathComponent("mediated-device")
        let outcome = try Command.run("exerciser", "--socket", scratch.path("socket"), option, value, at: program)
        #expect(outcome.status == 64)
        #expect(outcome.errors.hasPrefix("mediated-device: \(option) is '\(value)' but must be a number."))
    }

    /// A device process with options that only a daemon gives.
    private final class DaemonsDevice {
        private let process = Process()
        private let errors = Pipe()
        private var text = ""

        /// Returns when it serves.
        init(_ arguments: String...) throws {
            process.executableURL = try Program.folder.appendingPathComponent("mediated-device")
            process.arguments = arguments
            process.standardError = errors
            try process.run()
            text = try errors.read(until: "Serving")
        }

        deinit {
            if process.isRunning { process.terminate() }
        }

        /// All that it has said, when it has ended.
        func log() -> String {
            text + String(decoding: errors.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        }
    }
}
