import FakeQEMU
import Glibc
import JSON
import Linux
import Programs
import Testing

@testable import QMP

@Suite struct QMPClientTests {
    @Test func theGreetingTellsTheVersion() throws {
        try withFakeQEMU { _, path throws in
            #expect(try QMPClient(connectingTo: path).version == "11.1.3")
        }
    }

    @Test func aCommandHasItsResult() throws {
        try withFakeQEMU(["query-name": [["return": ["name": "x"]]]]) { qemu, path throws in
            let client = try QMPClient(connectingTo: path)
            #expect(try client.execute("query-name", ["a": 1]) == ["name": "x"])
            #expect(qemu.requests("query-name") == [["a": 1]])
        }
    }

    @Test func aRefusalHasItsClassAndDescription() throws {
        let answers: [String: [JSON]] = [
            "device_del": [["error": ["class": "DeviceNotFound", "desc": "Device 'x' not found"]]],
            "device_add": [["error": ["class": "Brandnew", "desc": "No."]]],
        ]
        try withFakeQEMU(answers) { _, path throws in
            let client = try QMPClient(connectingTo: path)
            #expect(
                throws: QMPError.refused(
                    command: "device_del", class: .deviceNotFound, description: "Device 'x' not found")
            ) { try client.execute("device_del") }
            #expect(throws: QMPError.refused(command: "device_add", class: .generic, description: "No.")) {
                try client.execute("device_add")
            }
            let error = #expect(throws: QMPError.self) { try client.execute("no") }
            #expect(error?.description == "QEMU refused 'no': The command \"no\" has not been found")
        }
    }

    // MARK: Events

    @Test func eventsThatComeBetweenAreKept() throws {
        let answers = ["stop": [FakeQEMU.event("STOP"), FakeQEMU.event("RESUME"), ["return": [:]]]]
        try withFakeQEMU(answers) { _, path throws in
            let client = try QMPClient(connectingTo: path)
            try client.execute("stop")
            #expect(try client.event(within: .zero) { $0.name == "RESUME" }?.name == "RESUME")
            #expect(try client.event(within: .zero) { $0.name == "RESUME" } == nil)
            #expect(try client.event(within: .zero) { _ in true }?.name == "STOP")
        }
    }

    @Test func eventsThatComeLaterAreAwaited() throws {
        let answers = ["stop": [["return": [:]], FakeQEMU.event("STOP"), FakeQEMU.event("RESUME", path: "/x")]]
        try withFakeQEMU(answers) { _, path throws in
            let client = try QMPClient(connectingTo: path)
            try client.execute("stop")
            let event = try client.event(within: .seconds(10)) { $0.name == "RESUME" }
            #expect(event?.data == ["path": "/x"])
            #expect(try client.event(within: .zero) { $0.name == "STOP" }?.name == "STOP")
        }
    }

    @Test func anEventThatNeverComesIsNotWaitedForForever() throws {
        try withFakeQEMU { _, path throws in
            let client = try QMPClient(connectingTo: path)
            #expect(try client.event(within: .milliseconds(20)) { _ in true } == nil)
        }
    }

    @Test func ofTooManyEventsTheOldestAreForgotten() throws {
        let events = (0...QMPClient.eventLimit).map { FakeQEMU.event("E\($0)") }
        try withFakeQEMU(["stop": events + [["return": [:]]]]) { _, path throws in
            let client = try QMPClient(connectingTo: path)
            try client.execute("stop")
            #expect(try client.event(within: .zero) { _ in true }?.name == "E1")
        }
    }

    // MARK: Nobody there, or somebody else

    @Test func nobodyThereIsSaidSo() throws {
        let missing = #expect(throws: QMPError.self) { try QMPClient(connectingTo: "/tmp/no/such.qmp") }
        #expect(missing?.description.hasPrefix("There is no QMP socket at '/tmp/no/such.qmp'") == true)
        let tooLong = #expect(throws: QMPError.self) { try QMPClient(connectingTo: String(repeating: "x", count: 108)) }
        #expect(tooLong?.description.contains("too long") == true)
    }

    /// A vfio-user server that is in use, a control socket with too many clients, anything.
    @Test func whoHangsUpWithoutAGreetingIsNoMonitor() throws {
        try withFakeQEMU(greeting: nil) { _, path throws in
            let error = #expect(throws: QMPError.self) { try QMPClient(connectingTo: path) }
            #expect(error == .noMonitor(path: path))
            #expect(error?.description.contains("is no QMP monitor") == true)
        }
    }

    @Test func aMonitorThatServesAnotherClientIsNotWaitedForForever() throws {
        // Connected in the backlog, and nobody accepts.
        let listener = try UnixListener(path: temporaryPath())
        #expect(throws: QMPError.noGreeting(after: .milliseconds(20))) {
            try QMPClient(connectingTo: listener.path, patience: .milliseconds(20))
        }
    }

    @Test func aBacklogThatIsFullIsNotWaitedForForever() throws {
        let listener = try UnixListener(path: temporaryPath(), backlog: 0)
        let first = try UnixSocket(connectingTo: listener.path)
        #expect(throws: QMPError.cannotConnect(path: listener.path, .resourceTemporarilyUnavailable)) {
            try QMPClient(connectingTo: listener.path, patience: .milliseconds(20))
        }
        first.shutDown()
    }

    @Test(arguments: ["{}\n", "[]\n", "HTTP/1.1 400 Bad Request\r\n", "\n", #"{"QMP":{}}"# + "\n"])
    func whatGreetsOtherwiseIsNoMonitor(greeting: String) throws {
        try withFakeQEMU(greeting: greeting) { _, path throws in
            let error = #expect(throws: QMPError.self) { try QMPClient(connectingTo: path) }
            #expect(error?.description.hasPrefix("What came is no message of QMP: ") == true)
        }
    }

    @Test func aLineWithoutEndIsNotReadForever() throws {
        try withFakeQEMU(greeting: String(repeating: " ", count: QMPClient.lineLimit + 1)) { _, path throws in
            #expect(throws: QMPError.malformed("it is longer than \(QMPClient.lineLimit) bytes")) {
                try QMPClient(connectingTo: path)
            }
        }
    }

    @Test(
        arguments: [
            [["return": [:], "id": 7]], [["return": [:], "id": nil]], [["id": 2]], [["error": [:]]], [["error": "no"]],
            [1],
        ] as [[JSON]])
    func anAnswerThatMakesNoSenseIsRefused(answer: [JSON]) throws {
        try withFakeQEMU(["stop": answer]) { _, path throws in
            let client = try QMPClient(connectingTo: path)
            let error = #expect(throws: QMPError.self) { try client.execute("stop") }
            #expect(error?.description.hasPrefix("What came is no message of QMP: ") == true)
        }
    }

    @Test func anAnswerToNoCommandIsRefused() throws {
        try withFakeQEMU(["stop": [["return": [:]], ["return": [:], "id": 3]]]) { _, path throws in
            let client = try QMPClient(connectingTo: path)
            try client.execute("stop")
            #expect(throws: QMPError.malformed("it answers what was not asked")) {
                try client.event(within: .seconds(10)) { _ in true }
            }
        }
    }

    @Test func aQEMUThatOnlySendsEventsIsNotListenedToForever() throws {
        try withFakeQEMU(["stop": [FakeQEMU.event("STOP")]]) { _, path throws in
            let client = try QMPClient(connectingTo: path, patience: .milliseconds(100))
            #expect(throws: QMPError.timedOut(command: "stop", after: .milliseconds(100))) {
                try client.execute("stop")
            }
        }
    }

    @Test func aQEMUThatSendsEventsWithoutEndIsNotListenedToForever() throws {
        let events = [JSON](repeating: FakeQEMU.event("STOP"), count: 1 << 17)
        try withFakeQEMU(["stop": events]) { _, path throws in
            let client = try QMPClient(connectingTo: path, patience: .milliseconds(100))
            #expect(throws: QMPError.timedOut(command: "stop", after: .milliseconds(100))) {
                try client.execute("stop")
            }
        }
    }

    /// Each of its answers is in time, and they would be asked for without end.
    @Test func allCommandsTogetherHaveALimit() throws {
        try withFakeQEMU(["stop": [["return": [:]]]]) { _, path throws in
            let client = try QMPClient(connectingTo: path, end: Deadline(after: .milliseconds(200)))
            let error = #expect(throws: QMPError.self) {
                while true { try client.execute("stop") }
            }
            #expect(error == .tookTooLong(command: "stop"))
        }
    }

    @Test func aQEMUThatEndsIsSaidSo() throws {
        try withFakeQEMU(["quit": [], "stop": [["return": [:]]]]) { _, path throws in
            let client = try QMPClient(connectingTo: path)
            #expect(throws: QMPError.closed) { try client.execute("quit") }
            #expect(throws: QMPError.closed) { try client.event(within: .seconds(10)) { _ in true } }
        }
    }
}

/// Runs `body` beside a fake QEMU, with the path of its monitor.
func withFakeQEMU(
    _ answers: [String: [JSON]] = [:], greeting: String? = FakeQEMU.greeting,
    _ body: (FakeQEMU, String) throws -> Void
) throws {
    let path = temporaryPath()
    let qemu = try FakeQEMU(at: path, greeting: greeting, answers: answers)
    defer { qemu.end() }
    try body(qemu, path)
}
