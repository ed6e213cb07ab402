import Foundation
import JSON
import Linux
import Programs
import Testing

@Suite struct RunTests {
    let scratch: Scratch

    init() throws {
        scratch = try Scratch()
    }

    @Test func runServesUntilItIsStopped() throws {
        let device = try RunningDevice("bochs-display", "-o", "vram=4M", "--option", "edid=off", in: scratch)
        let info = try Command.run("info", device.socket)
        #expect(info.status == 0)
        #expect(
            info.output.contains("type     bochs-display\noptions  vram=4M edid=off\nsocket   \(device.socket)\n"))
        let json = try JSON(parsing: Command.run("info", device.socket, "--json").output)
        #expect(json["type"] == "bochs-display")
        #expect(json["clientConnected"] == false)
        #expect(try Command.run("stop", device.socket).status == 0)
        #expect(device.status() == 0)
    }

    @Test func aTerminatedProcessEndsInOrder() throws {
        let device = try RunningDevice("serial", in: scratch)
        device.terminate()
        #expect(device.status() == 0)
    }

    @Test func aConfinedProcessLeavesItsSocketsToTheNext() throws {
        for _ in 0..<2 {
            let device = try RunningDevice("serial", in: scratch)
            #expect(try isConfined(device))
            #expect(try Command.run("stop", device.socket).status == 0)
            #expect(device.status() == 0)
            #expect(FileManager.default.fileExists(atPath: device.socket))
        }
    }

    @Test func aProcessThatIsNotConfinedRemovesItsSockets() throws {
        let device = try RunningDevice("serial", "--no-sandbox", in: scratch)
        #expect(try !isConfined(device))
        #expect(try Command.run("stop", device.socket).status == 0)
        #expect(device.status() == 0)
        #expect(!FileManager.default.fileExists(atPath: device.socket))
        #expect(!FileManager.default.fileExists(atPath: device.socket + ".control"))
    }

    /// Whether the kernel filters the process's system calls.
    private func isConfined(_ device: RunningDevice) throws -> Bool {
        let info = try JSON(parsing: Command.run("info", device.socket, "--json").output)
        let process = try #require(info["process"]?.text)
        let status = try String(contentsOfFile: "/proc/\(process)/status", encoding: .utf8)
        return status.contains("\nSeccomp:\t2\n")
    }

    @Test func aProcessThatNobodyListensToGoesOn() throws {
        let device = try RunningDevice("serial", in: scratch)
        try device.stopListening()
        // The process tells of each client that comes and goes.
        for _ in 0..<2 { #expect(try Command.run("inspect", device.socket).status == 0) }
        #expect(try Command.run("stop", device.socket).status == 0)
        #expect(device.status() == 0)
    }

    @Test func theControlSocketMayBeElsewhere() throws {
        let control = scratch.path("elsewhere")
        let device = try RunningDevice("serial", "--control", control, "--mode", "0660", "--poll", in: scratch)
        #expect(try Command.run("info", device.socket).status == 66)
        #expect(try Command.run("info", device.socket, "--control", control).status == 0)
        for path in [device.socket, control] {
            let attributes = try FileManager.default.attributesOfItem(atPath: path)
            #expect(attributes[.posixPermissions] as? Int == 0o660)
        }
    }

    @Test func aDeadSocketIsReplaced() throws {
        let path = scratch.path("socket")
        try leaveDeadSocket(at: path)
        let device = try RunningDevice("serial", in: scratch)
        #expect(try Command.run("info", device.socket).status == 0)
    }

    @Test(arguments: [
        (["quantum"], "There is no device type 'quantum'. The types: bochs-display, serial"),
        (["bochs-display", "-o", "vram"], "'vram' is not of the form KEY=VALUE."),
        (["bochs-display", "-o", "ram=1M"], "'bochs-display' has no option 'ram'. Its options: vram, "),
        (["bochs-display", "-o", "vram=1"], "Option 'vram' is '1' but must be a number from 1048576 to 268435456."),
        (["bochs-display", "-o", "vram=x"], "Option 'vram' is 'x' but"),
        (["bochs-display", "-o", "vram=4M", "-o", "vram=4M"], "Option 'vram' is given twice; give it once."),
        (["bochs-display", "-o", "edid=yes"], "Option 'edid' is 'yes' but must be 'on' or 'off'."),
        (["serial", "--mode", "0999"], "The mode is '0999' but must be octal, from 0 to 0777"),
        (["serial", "--mode", "1777"], "The mode is '1777' but"),
        (["serial", "--mode", ""], "The mode is '' but"),
        (["serial", "--control", ""], "The socket's path is empty."),
    ])
    func aBadTypeOptionOrModeIsAUsageError(arguments: [String], message: String) throws {
        let outcome = try Command.run(["run"] + arguments + ["--socket", scratch.path("socket")])
        #expect(outcome.status == 64)
        #expect(outcome.errors.hasPrefix("mediated: \(message)"), "\(outcome.errors)")
    }

    @Test func optionsThatDoNotFitTogetherAreAUsageError() throws {
        let outcome = try Command.run(
            "run", "bochs-display", "-o", "vram=1M", "-o", "resolution=1920x1080", "--socket", scratch.path("socket"))
        #expect(outcome.status == 64)
        #expect(outcome.errors.contains("'vram' is 1M"))
    }

    @Test func aMachineThatCanNotDrawIsSaidSo() throws {
        // As where no OpenGL driver is installed: libglvnd finds none. virglrenderer says so, or crashes, as 0.10.4
        // does.
        let program = try Program.folder.appendingPathComponent("mediated").path
        let words = ["run", "virtio-gpu", "--socket", scratch.path("socket"), "-o", "renderer=virgl"]
        let outcome = try Command.run(
            ["__EGL_VENDOR_LIBRARY_FILENAMES=/dev/null", program] + words, at: URL(fileURLWithPath: "/usr/bin/env"))
        #expect(outcome.status == 64)
        #expect(
            outcome.errors.contains(
                "OpenGL driver: is Mesa's software driver (libegl-mesa0, libgl1 and libgl1-mesa-dri) installed?"))
        #expect(outcome.errors.contains("There is no 3D in software on this machine"))
        #expect(!FileManager.default.fileExists(atPath: scratch.path("socket")))
    }

    @Test func aSocketThatCannotBeMadeIsSaidSo() throws {
        let file = try scratch.write("mine", to: "file")
        for (path, message) in [
            (scratch.path("none/socket"), "there is no folder '\(scratch.path("none"))/'"),
            ("\(file)/socket", "there is no folder '\(file)/'"), (file, "something that is no socket is there"),
        ] {
            let outcome = try Command.run("run", "serial", "--socket", path)
            #expect(outcome.status == 73)
            #expect(outcome.errors == "mediated: Can't create the socket '\(path)': \(message).\n")
        }
        #expect(try String(contentsOfFile: file, encoding: .utf8) == "mine")
    }

    @Test func aPathThatIsNoSocketsPathIsAUsageError() throws {
        let long = scratch.path(String(repeating: "x", count: 100))
        let outcome = try Command.run("run", "serial", "--socket", long)
        #expect(outcome.status == 64)
        #expect(outcome.errors.contains("is \(long.utf8.count) bytes long, but a socket's path has at most 107"))
        #expect(try Command.run("run", "serial", "--socket", "").status == 64)
        let path = scratch.path("socket")
        let same = try Command.run("run", "serial", "--socket", path, "--control", path)
        #expect(same.status == 64)
        #expect(same.errors == "mediated: '\(path)' is the path of two sockets.\n")
    }

    @Test func aDeviceBehindDashesSharesTheProcess() throws {
        let other = scratch.path("other")
        let device = try RunningDevice(
            "exerciser", "--no-sandbox", "--", "bochs-display", "--socket", other, "-o", "vram=4M", in: scratch)
        let infos = try [device.socket, other].map { try JSON(parsing: Command.run("info", $0, "--json").output) }
        #expect(infos.map { $0["type"] } == ["exerciser", "bochs-display"])
        #expect(infos[1]["options"] == ["vram=4M"])
        #expect(infos[0]["process"] == infos[1]["process"])
        #expect(try Command.run("stop", other).status == 0)
        #expect(device.status() == 0)
        for path in [device.socket, other].flatMap({ [$0, $0 + ".control"] }) {
            #expect(!FileManager.default.fileExists(atPath: path))
        }
    }

    @Test(arguments: [
        (["--", "quantum", "--socket", "@"], "There is no device type 'quantum'."),
        (["--", "serial", "--socket", "@/none/socket"], "Can't create the socket"),
        (["--", "serial", "--socket", "@socket"], "'@socket' is the path of two sockets."),
        (
            ["--", "serial", "--socket", "@other", "--poll"],
            "--mode, --poll, --no-sandbox and --no-recorder are for the whole"
        ),
    ])
    func whatIsWrongBehindDashesIsSaidSo(words: [String], message: String) throws {
        func placed(_ text: String) -> String { text.replacing("@", with: scratch.path("")) }
        let outcome = try Command.run(["run", "serial", "--socket", scratch.path("socket")] + words.map(placed))
        #expect(outcome.status == 64 || outcome.status == 73)
        #expect(outcome.errors.hasPrefix("mediated: \(placed(message))"), "\(outcome.errors)")
    }

    @Test func aSocketThatIsTakenIsLeftAlone() throws {
        let device = try RunningDevice("serial", in: scratch)
        let outcome = try Command.run("run", "serial", "--socket", device.socket)
        #expect(outcome.status == 69)
        #expect(
            outcome.errors
                == "mediated: Another process listens at '\(device.socket)'; stop it or choose another path.\n")
        #expect(try Command.run("info", device.socket).status == 0)
    }

    @Test func aStateThatIsNotThereOrNoneIsRefused() throws {
        let path = scratch.path("socket")
        let missing = try Command.run("run", "serial", "--socket", path, "--state", scratch.path("none"))
        #expect(missing.status == 66)
        #expect(missing.errors.hasPrefix("mediated: Can't read the state '\(scratch.path("none"))': "))
        let garbage = try scratch.write("no state at all", to: "garbage")
        let outcome = try Command.run("run", "serial", "--socket", path, "--state", garbage)
        #expect(outcome.status == 65)
        #expect(outcome.errors.contains("'\(garbage)' can't be restored."))
    }

    @Test func aMissingProgramIsSaidSoWithThePlaces() throws {
        let lonely = scratch.url.appendingPathComponent("mediated")
        try FileManager.default.copyItem(at: Program.folder.appendingPathComponent("mediated"), to: lonely)
        let outcome = try Command.run("run", "serial", "--socket", scratch.path("socket"), at: lonely)
        #expect(outcome.status == 72)
        #expect(outcome.errors.contains(scratch.path("mediated-device")))
        #expect(outcome.errors.contains("/../libexec/mediated-device"))
    }

    @Test func aProgramThatIsNoneIsSaidSo() throws {
        let lonely = scratch.url.appendingPathComponent("mediated")
        try FileManager.default.copyItem(at: Program.folder.appendingPathComponent("mediated"), to: lonely)
        let fake = try scratch.write("not a program", to: "mediated-device")
        try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: fake)
        let outcome = try Command.run("run", "serial", "--socket", scratch.path("socket"), at: lonely)
        #expect(outcome.status == 72)
        #expect(outcome.errors.hasPrefix("mediated: Can't start '\(fake)': "))
    }
}

/// Leaves what a process that was killed leaves: a socket at which nobody listens.
func leaveDeadSocket(at path: String) throws {
    let aside = path + ".alive"
    let listener = try UnixListener(path: aside)
    // Under another name its owner doesn't find and remove it.
    try FileManager.default.moveItem(atPath: aside, toPath: path)
    withExtendedLifetime(listener) {}
}
