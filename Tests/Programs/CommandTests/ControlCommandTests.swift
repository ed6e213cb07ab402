import Foundation
import JSON
import Linux
import Programs
import Testing
import VFIOUserClient

@Suite struct ControlCommandTests {
    let scratch: Scratch

    init() throws {
        scratch = try Scratch()
    }

    // MARK: Screenshots

    /// Sets a mode of 640 by 480 pixels of 32 bits, as bochs-drm does through the DISPI registers, and
    /// paints the first pixel red, the second green.
    private func paint(_ device: RunningDevice) throws {
        let guest = try Client(path: device.socket)
        for (register, value) in [(4, 0), (1, 640), (2, 480), (3, 32), (4, 0x41)] as [(UInt64, UInt16)] {
            try guest.write(value, region: 2, offset: 0x500 + register * 2)
        }
        try guest.write(UInt32(0x00ff_0000), region: 0, offset: 0)
        try guest.write(UInt32(0x0000_ff00), region: 0, offset: 4)
    }

    @Test func aScreenshotIsAPNGOfWhatTheGuestHasPainted() throws {
        let device = try RunningDevice("bochs-display", in: scratch)
        try paint(device)
        let file = try scratch.write("something else", to: "picture.png")
        let outcome = try Command.run("screenshot", device.socket, file)
        #expect(outcome.status == 0, "\(outcome.errors)")
        let png = try [UInt8](Data(contentsOf: URL(fileURLWithPath: file)))
        #expect(png.starts(with: [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A]))
        // IHDR: width, height, 8 bits per sample, colour type 2, and no interlace.
        #expect(Array(png[16..<29]) == [0, 0, 2, 128, 0, 0, 1, 224, 8, 2, 0, 0, 0])
        let pixels = try decoded(file)
        #expect(pixels.count == 640 * 480 * 3)
        #expect(Array(pixels[..<9]) == [255, 0, 0, 0, 255, 0, 0, 0, 0])
        #expect(
            try FileManager.default.contentsOfDirectory(atPath: scratch.url.path).sorted() == [
                "picture.png", "socket", "socket.control",
            ])
    }

    /// In a folder that others may write to it would say whose file is replaced.
    @Test func aSymbolicLinkIsNotFollowed() throws {
        let device = try RunningDevice("bochs-display", in: scratch)
        try paint(device)
        let target = try scratch.write("", to: "target.png")
        try FileManager.default.createSymbolicLink(atPath: scratch.path("link.png"), withDestinationPath: target)
        #expect(try Command.run("screenshot", device.socket, scratch.path("link.png")).status == 73)
        #expect(try FileManager.default.destinationOfSymbolicLink(atPath: scratch.path("link.png")) == target)
        #expect(try Data(contentsOf: URL(fileURLWithPath: target)).isEmpty)
    }

    @Test func aHeadThatIsNotThereOrOffIsSaidSo() throws {
        let device = try RunningDevice("bochs-display", in: scratch)
        let file = scratch.path("picture.png")
        let off = try Command.run("screenshot", device.socket, file)
        #expect(off.status == 69)
        #expect(off.errors == "mediated: Head 0 shows nothing: it is off, or in no valid mode.\n")
        let none = try Command.run("screenshot", device.socket, file, "--head", "1")
        #expect(none.status == 64)
        #expect(none.errors == "mediated: The device has no head 1: it has one.\n")
        #expect(try Command.run("screenshot", device.socket, file, "--head=-1").status == 64)
        #expect(try Command.run("screenshot", device.socket, file, "--head", "x").status == 64)
        #expect(!FileManager.default.fileExists(atPath: file))
        let serial = try RunningDevice("serial", in: scratch, socket: "serial")
        let headless = try Command.run("screenshot", serial.socket, file)
        #expect(headless.status == 64)
        #expect(headless.errors == "mediated: The device has no head 0: it has none.\n")
    }

    // MARK: Monitors

    @Test func aMonitorIsPluggedInAndPulledOut() throws {
        let device = try RunningDevice("virtio-gpu", in: scratch)
        #expect(try Command.run("monitor", device.socket, "0", "1280x720").status == 0)
        #expect(try Command.run("monitor", device.socket, "0", "off").status == 0)
        let absent = try Command.run("monitor", device.socket, "1", "off")
        #expect(absent.status == 64)
        #expect(absent.errors == "mediated: The device has no head 1: it has one.\n")
        for words in [["0", "1280"], ["0", "axb"], ["-1", "off"], ["0"]] {
            #expect(try Command.run(["monitor", device.socket] + words).status == 64, "\(words)")
        }
        let bochs = try RunningDevice("bochs-display", in: scratch, socket: "bochs")
        let fixed = try Command.run("monitor", bochs.socket, "0", "off")
        #expect(fixed.errors == "mediated: Monitors of a 'bochs-display' neither come nor go.\n")
    }

    // MARK: Files that can't be written

    @Test(arguments: ["screenshot", "save"]) func aFileThatCannotBeWrittenIsSaidSo(verb: String) throws {
        let device = try RunningDevice("bochs-display", in: scratch)
        try paint(device)
        let purpose = verb == "save" ? "write the state to" : "write the picture to"
        let missing = scratch.path("none/file")
        for (path, reason) in [
            (missing, "its folder doesn't exist"), (scratch.url.path, "something that is no regular file is there"),
            ("/dev/null", "something that is no regular file is there"),
        ] {
            let outcome = try Command.run(verb, device.socket, path)
            #expect(outcome.status == 73)
            #expect(outcome.errors == "mediated: Can't \(purpose) '\(path)': \(reason).\n")
        }
    }

    // MARK: State and counters

    @Test func aSavedStateGoesOnInANewProcess() throws {
        let first = try RunningDevice("bochs-display", in: scratch)
        try paint(first)
        let state = scratch.path("state")
        #expect(try Command.run("save", first.socket, state).status == 0)
        let attributes = try FileManager.default.attributesOfItem(atPath: state)
        #expect(attributes[.posixPermissions] as? Int == 0o600)
        let second = try RunningDevice("bochs-display", "--state", state, in: scratch, socket: "second")
        let file = scratch.path("picture.png")
        #expect(try Command.run("screenshot", second.socket, file).status == 0)
        #expect(try Array(decoded(file)[..<6]) == [255, 0, 0, 0, 255, 0])
    }

    @Test func aStateOfAnotherDeviceIsRefused() throws {
        let display = try RunningDevice("bochs-display", in: scratch)
        let state = scratch.path("state")
        #expect(try Command.run("save", display.socket, state).status == 0)
        let outcome = try Command.run("run", "serial", "--socket", scratch.path("other"), "--state", state)
        #expect(outcome.status == 65)
        #expect(outcome.errors.contains("The state is that of a 'bochs-display'; this device is a 'serial'."))
    }

    @Test func statisticsCountAccesses() throws {
        let device = try RunningDevice("bochs-display", in: scratch)
        try paint(device)
        let json = try JSON(parsing: Command.run("statistics", device.socket, "--json").output)
        #expect(json["sessions"] == 1)
        #expect(json["dmaMaps"] == 0)
        #expect(json["interruptsByKind"]?["msix"] == 0)
        #expect(json["latency"]?["oneIn"] == 64)
        #expect(json["latency"]?["buckets"]?.object?.names.first == "256")
        #expect(json["latency"]?["buckets"]?.object?.names.last == "more")
        #expect(json["uptimeSeconds"]?.double ?? 0 > 0)
        let text = try Command.run("statistics", device.socket)
        #expect(text.status == 0)
        #expect(text.output.contains("\nwrites.bar2 5\n"))
    }

    // MARK: Nobody there, or somebody else

    @Test(arguments: [["info"], ["statistics"], ["stop"], ["screenshot", "/tmp/x.png"], ["save", "/tmp/x"]])
    func nobodyThereIsSaidSo(words: [String]) throws {
        func outcome(_ socket: String) throws -> Program.Outcome {
            try Command.run([words[0], socket] + words.dropFirst())
        }
        let missing = try outcome(scratch.path("none"))
        #expect(missing.status == 66)
        #expect(
            missing.errors
                == "mediated: There is no control socket at '\(scratch.path("none")).control': no device process runs there.\n"
        )
        try leaveDeadSocket(at: scratch.path("dead.control"))
        let dead = try outcome(scratch.path("dead"))
        #expect(dead.status == 69)
        #expect(dead.errors.contains("Nobody listens at '\(scratch.path("dead")).control'"))
        #expect(try outcome(String(repeating: "x", count: 200)).status == 64)
    }

    @Test func whatIsNoControlSocketIsSaidSo() throws {
        let other = try Impostor(at: scratch.path("socket.control"), saying: "HTTP/1.1 400 Bad Request\r\n")
        let outcome = try Command.run("info", scratch.path("socket"))
        #expect(outcome.status == 76)
        #expect(outcome.errors.hasPrefix("mediated: The answer is not a device process's: byte 0: "))
        other.end()
    }

    private func decoded(_ file: String) throws -> [UInt8] {
        try PNGReader.pixels(of: [UInt8](Data(contentsOf: URL(fileURLWithPath: file))))
    }
}
