import Control
import Device
import Glibc
import JSON
import LingeringSocket
import Linux
import Programs
import Synchronization
import Testing

@Suite struct ControlClientTests {
    @Test func infoTellsWhoIsThere() throws {
        try withDeviceProcess { process in
            let info = try ControlClient(connectingTo: process.path).info()
            let expected = ControlInfo(
                type: "test", options: ["a=b"], process: getpid(), socket: "/run/x", clientConnected: false,
                uptimeSeconds: 1.5)
            #expect(info == expected)
        }
    }

    @Test func aScreenshotHasTheVisiblePixelsOnly() throws {
        try withDeviceProcess { process in
            let scanout = try ControlClient(connectingTo: process.path).screenshot()
            #expect((scanout.width, scanout.height) == (2, 2))
            #expect(scanout.stride == 8)
            #expect(scanout.format == .xrgb8888)
            #expect(contents(of: scanout.memory, count: 16) == TestDevice.visible)
        }
    }

    @Test func theCursorIsOnThePicture() throws {
        try withDeviceProcess { process in
            let scanout = try ControlClient(connectingTo: process.path).screenshot(head: 2)
            var expected = TestDevice.visible
            expected.replaceSubrange(4..<8, with: [255, 255, 255, 0])
            #expect(contents(of: scanout.memory, count: 16) == expected)
        }
    }

    @Test func statisticsKeepAllTheirBits() throws {
        try withDeviceProcess { process in
            let statistics = try ControlClient(connectingTo: process.path).statistics()
            #expect(statistics == ["reads": .init(UInt64.max)])
        }
    }

    @Test func aSavedStateIsTheFunctionsStream() throws {
        try withDeviceProcess { process in
            let state = try ControlClient(connectingTo: process.path).save().bytes()
            #expect(state.starts(with: Array("MEDIATED".utf8)))
            #expect(String(decoding: state, as: UTF8.self).contains(#""device":{"value":7}"#))
        }
    }

    @Test func stopIsAnsweredAndDone() throws {
        try withDeviceProcess { process in
            let client = try ControlClient(connectingTo: process.path)
            try client.stop()
            // The delegate is told right after the answer; one more answer proves that it was.
            _ = try client.info()
            let isStopped = process.isStopped.load(ordering: .acquiring)
            #expect(isStopped)
        }
    }

    @Test(arguments: [
        (1, "Head 1 shows nothing: it is off, or in no valid mode."), (3, "The device has no head 3: it has 3."),
    ])
    func aHeadThatShowsNothingIsNamed(head: Int, message: String) throws {
        try withDeviceProcess { process in
            let client = try ControlClient(connectingTo: process.path)
            let error = #expect(throws: ControlClientError.self) { try client.screenshot(head: head) }
            #expect(error?.description == message)
        }
    }

    @Test func nobodyThereIsSaidSo() throws {
        let missing = #expect(throws: ControlClientError.self) {
            try ControlClient(connectingTo: "/tmp/no/such.control")
        }
        #expect(
            missing?.description
                == "There is no control socket at '/tmp/no/such.control': no device process runs there.")
        let tooLong = #expect(throws: ControlClientError.self) {
            try ControlClient(connectingTo: String(repeating: "x", count: 108))
        }
        #expect(tooLong?.description.contains("too long") == true)
    }

    @Test(arguments: [
        "", "x", "{}", #"{"version":1}"#, #"{"version":2,"result":{}}"#, #"{"version":1,"error":{}}"#,
        #"{"version":1,"result":{}}"#, #"{"version":1,"result":[]}"#,
        // No file comes with this one.
        #"{"version":1,"result":{"width":2,"height":2,"stride":8,"format":"xrgb8888","palette":[]}}"#,
    ])
    func whatIsNoReplyIsRefused(reply: String) throws {
        try withImpostor(reply: reply) { client in
            let error = #expect(throws: ControlClientError.self) { try client.screenshot() }
            #expect(error?.description.hasPrefix("The answer is not a device process's: ") == true)
        }
    }

    @Test(arguments: [
        (0, 2, 8, "xrgb8888"), (2, 0, 8, "xrgb8888"), (2, 2, 7, "xrgb8888"), (-1, 2, 8, "xrgb8888"),
        (2, 2, 1 << 62, "xrgb8888"), (1 << 62, 1 << 62, 1 << 62, "xrgb8888"), (65536, 65536, 1 << 30, "xrgb8888"),
        (2, 2, 8, "none"), (40, 40, 160, "xrgb8888"), (16384, 8192, 16384, "indexed8"), (1, 1, 1 << 28 + 1, "xrgb8888"),
    ])
    func aPictureThatCannotBeIsRefused(width: Int, height: Int, stride: Int, format: String) throws {
        let reply: JSON = [
            "version": 1,
            "result": [
                "width": .init(width), "height": .init(height), "stride": .init(stride), "format": .string(format),
                "palette": [],
            ],
        ]
        let file = try MemoryFile(name: "small", size: 4096)
        try withImpostor(reply: reply.text, descriptor: file.descriptor.raw) { client in
            let error = #expect(throws: ControlClientError.self) { try client.screenshot() }
            #expect(error?.description.hasPrefix("The answer is not a device process's: ") == true)
        }
    }

    @Test(arguments: [-1, 1e20, 1e308])
    func anUptimeThatCannotBeIsRefused(seconds: Double) throws {
        let info = ControlInfo(
            type: "serial", options: [], process: 1, socket: "/x", clientConnected: false, uptimeSeconds: seconds)
        let reply: JSON = ["version": 1, "result": try JSON(encoding: info)]
        try withImpostor(reply: reply.text) { client in
            let error = #expect(throws: ControlClientError.self) { try client.info() }
            #expect(error?.description.contains("no process is there for") == true)
        }
    }

    @Test(arguments: ["pipe", "file", "hanging"])
    func whatIsNoMemoryIsNotReadAndNotEvenAskedForItsSize(kind: String) throws {
        let path = temporaryPath()
        let file = Descriptor(owning: open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600))
        defer { unlink(path) }
        try file.writeAll(Array("12345678".utf8).span.bytes)
        let pair = try UnixSocket.pair()
        let socket = try LingeringSocket()
        let raw = kind == "pipe" ? pair.first.descriptor.raw : kind == "file" ? file.raw : socket.raw
        try withImpostor(
            reply: #"{"version":1,"result":{"size":8}}"#, descriptor: raw,
            afterSending: { if kind == "hanging" { socket.handOverAside() } }
        ) { client in
            #expect(throws: ControlClientError.malformedReply("what comes with it is no memory file")) {
                _ = try client.save()
            }
        }
        pair.second.shutDown()
    }

    /// Whoever sends a file can make it long at no cost.
    @Test func aSavedStateKeepsItsHolesAndItsLimit() throws {
        let size = 512 << 20
        let sparse = try MemoryFile(name: "sparse", size: size)
        sparse.replace(at: 300 << 20, with: Array("In the middle.".utf8).span.bytes)
        let reply = #"{"version":1,"result":{"size":\#(size)}}"#
        try withImpostor(reply: reply, descriptor: sparse.descriptor.raw) { client in
            #expect(throws: ControlClientError.malformedReply("a state of \(size) bytes is too large")) {
                _ = try client.save(limit: size - 1)
            }
        }
        try withImpostor(reply: reply, descriptor: sparse.descriptor.raw) { client in
            let state = try client.save(limit: size)
            let path = temporaryPath()
            let file = try FileReplacement(path: path, mode: 0o600)
            try state.copy(to: file.descriptor)
            try file.commit()
            defer { unlink(path) }
            let copy = try Descriptor(reading: path)
            #expect(try copy.status().size == size && copy.status().allocated < 1 << 20)
            #expect(try copy.readBytes(at: 300 << 20, upTo: 14) == Array("In the middle.".utf8))
            #expect(try state.equals(copy))
            sparse.replace(at: size - 1, with: ([1] as [UInt8]).span.bytes)
            #expect(try !state.equals(copy))
        }
    }

    @Test func aProcessThatDoesNotAnswerIsNotWaitedForForever() throws {
        let listener = try UnixListener(path: temporaryPath())
        let client = try ControlClient(connectingTo: listener.path, patience: .milliseconds(20))
        #expect(throws: ControlClientError.timedOut(after: .milliseconds(20))) { try client.info() }
    }

    @Test func aProcessThatDoesNotAcceptIsNotWaitedForForever() throws {
        let listener = try UnixListener(path: temporaryPath(), backlog: 0)
        let first = try UnixSocket(connectingTo: listener.path)
        let error = #expect(throws: ControlClientError.self) {
            try ControlClient(connectingTo: listener.path, patience: .milliseconds(20))
        }
        #expect(error == .cannotConnect(path: listener.path, .resourceTemporarilyUnavailable))
        first.shutDown()
    }

    @Test func aProcessThatHangsUpIsSaidSo() throws {
        let listener = try UnixListener(path: temporaryPath())
        let client = try ControlClient(connectingTo: listener.path)
        let accepted = try listener.accept()
        accepted?.shutDown()
        #expect(throws: ControlClientError.closed) { try client.info() }
    }

    /// Runs `body` with a client of a process that answers with `reply`, whatever it is asked.
    private func withImpostor(
        reply: String, descriptor: Int32? = nil, afterSending: @escaping @Sendable () -> Void = {},
        _ body: (ControlClient) throws -> Void
    ) throws {
        let listener = try UnixListener(path: temporaryPath())
        let client = try ControlClient(connectingTo: listener.path)
        guard let accepted = try listener.accept()?.relinquish() else { throw Errno.noSuchProcess }
        let impostor = try Linux.Thread(name: "impostor") {
            let socket = UnixSocket(owning: Descriptor(owning: accepted))
            _ = try? socket.waitReadable(within: .seconds(10))
            try? socket.send(Array((reply + "\n").utf8).span.bytes, descriptors: descriptor.map { [$0] } ?? [])
            afterSending()
        }
        defer { impostor.join() }
        try body(client)
    }
}
