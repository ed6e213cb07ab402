import Foundation
import Linux
import Programs
import RunningDaemon
import Testing

/// `mediated top`, as scripts and as people at a terminal use it.
@Suite struct TopTests {
    let scratch: Scratch

    init() throws {
        scratch = try Scratch()
    }

    // MARK: One table

    @Test func oneTableHasALineForEach() throws {
        let device = try RunningDevice("exerciser", in: scratch)
        let none = scratch.path("none")
        let outcome = try Command.run("top", device.socket, none, "--once", "--interval", "0.1")
        #expect(outcome.status == 0)
        let lines = outcome.output.split(separator: "\n").map { $0.split(separator: " ").map(String.init) }
        #expect(lines.count == 3)
        #expect(lines[0].starts(with: ["VGPU", "TYPE", "STATE", "ACCESS/s"]))
        #expect(lines[1] == [none, "-", "gone"] + Array(repeating: "-", count: 8))
        #expect(lines[2].starts(with: [device.socket, "exerciser", "free", "0", "0", "0", "0"]))
        #expect(lines[2].last?.last == "M")
        #expect(outcome.errors.hasPrefix("mediated: \(none): There is no control socket"))
    }

    @Test func aTableOfNobodySaysWhy() throws {
        let outcome = try Command.run("top", scratch.path("none"), "--once", "--interval", "0.1")
        #expect(outcome.status == 66)
        #expect(outcome.output.contains("gone"))
    }

    @Test func whatIsNoTerminalWantsOnce() throws {
        let outcome = try Command.run("top", scratch.path("none"))
        #expect(outcome.status == 64)
        #expect(outcome.errors == "mediated: Standard output is no terminal; with --once one table is printed.\n")
        #expect(outcome.output.isEmpty)
    }

    // MARK: The live view

    @Test(arguments: ["q", "\u{3}", "\u{1C}"]) func aKeyEndsItAndTheTerminalIsAsItWas(key: String) throws {
        let top = try LiveTop(scratch.path("none"))
        try top.wait { $0.contains { $0.contains("gone") } }
        #expect(top.modes.c_lflag & tcflag_t(ICANON | ECHO | ISIG) == 0)
        #expect(top.output.hasPrefix(LiveTop.entering))
        try top.press("\u{1B}[A" + key)
        #expect(top.status() == 0)
        try top.expectRestored()
    }

    @Test(arguments: [SIGTERM, SIGINT, SIGHUP, SIGQUIT]) func aSignalEndsItAndTheTerminalIsAsItWas(signal: Int32) throws
    {
        let top = try LiveTop(scratch.path("none"))
        try top.wait { !$0.isEmpty }
        kill(top.process.processIdentifier, signal)
        #expect(top.status() == 0)
        try top.expectRestored()
    }

    @Test func aProcessThatEndsIsGoneAndComesBack() throws {
        let device = try RunningDevice("exerciser", in: scratch)
        let top = try LiveTop(device.socket)
        try top.wait { $0.contains { $0.contains("exerciser  free ") } }
        #expect(try Command.run("stop", device.socket).status == 0)
        try top.wait { $0.contains { $0.contains("exerciser  gone ") } }
        #expect(device.status() == 0)
        let next = try RunningDevice("serial", in: scratch)
        try top.wait { $0.contains { $0.contains("serial  free ") } }
        #expect(next.socket == device.socket)
    }

    @Test func aDaemonsVGPUsComeAndGo() throws {
        let daemon = try RunningDaemon()
        let top = try LiveTop("--root", daemon.root)
        try top.wait { $0.first?.hasPrefix("mediated top: 0 vGPUs") == true }
        let vgpu = try daemon.started("exerciser")
        // On a terminal of 80 columns the UUID is cut.
        try top.wait { $0.contains { $0.contains("\(vgpu.uuid.suffix(7))  exerciser  free ") } }
        #expect(try daemon.run("stop", vgpu.uuid).status == 0)
        try top.wait { $0.first?.hasPrefix("mediated top: 0 vGPUs") == true }
        _ = try daemon.started("serial")
        try top.wait { $0.contains { $0.contains("serial  free ") } }
        daemon.end()
        try top.wait { $0.contains { $0.contains("serial  gone ") } }
        // The daemon is asked by a thread that must not take the signal.
        kill(top.process.processIdentifier, SIGTERM)
        #expect(top.status() == 0)
        try top.expectRestored()
    }

    @Test func keysSort() throws {
        let top = try LiveTop(scratch.path("none"))
        try top.wait { $0.first?.hasSuffix("by VGPU") == true }
        try top.press("c")
        try top.wait { $0.first?.hasSuffix("by CPU %") == true }
    }

    @Test func theViewFitsTheTerminal() throws {
        let top = try LiveTop(scratch.path("none"))
        try top.wait { $0.count == 24 && $0.allSatisfy { $0.count <= 80 } }
        try top.resize(columns: 40, lines: 6)
        kill(top.process.processIdentifier, SIGWINCH)
        try top.wait { $0.count == 6 && $0.allSatisfy { $0.count <= 40 } }
    }

    @Test func whileItIsStoppedTheTerminalIsAsItWas() throws {
        let top = try LiveTop(scratch.path("none"))
        try top.wait { !$0.isEmpty }
        try top.press("\u{1A}")
        try top.waitUntilStopped()
        try top.expectRestored()
        top.forget()
        kill(top.process.processIdentifier, SIGCONT)
        try top.wait { !$0.isEmpty }
        #expect(top.output.contains(LiveTop.entering))
        #expect(top.modes.c_lflag & tcflag_t(ICANON | ECHO) == 0)
    }

    @Test func aTerminalThatTakesNothingDoesNotKeepItFromEnding() throws {
        let top = try LiveTop(scratch.path("none"))
        try top.wait { !$0.isEmpty }
        try top.fill()
        kill(top.process.processIdentifier, SIGTERM)
        #expect(top.status() == 0)
        #expect(top.modes.c_lflag == top.originalModes.c_lflag)
    }

    @Test func aTerminalThatGoesEndsIt() throws {
        let top = try LiveTop(scratch.path("none"))
        try top.wait { !$0.isEmpty }
        top.hangUp()
        #expect(top.status() == 0)
    }
}

/// `mediated top` in a terminal of the test's own.
private final class LiveTop {
    static let entering = "\u{1B}[?1049h\u{1B}[?25l\u{1B}[?7l"
    static let leaving = "\u{1B}[?7h\u{1B}[?25h\u{1B}[?1049l"

    let process = Process()
    let originalModes: termios
    /// All that it has written.
    private(set) var output = ""
    private var pty: Pty?
    private let slave: FileHandle

    init(_ sockets: String...) throws {
        let pty = try Pty()
        self.pty = pty
        slave = try #require(FileHandle(forUpdatingAtPath: pty.path))
        var modes = termios()
        tcgetattr(slave.fileDescriptor, &modes)
        modes.c_lflag |= tcflag_t(ICANON | ECHO | ISIG)
        modes.c_iflag |= tcflag_t(ICRNL | IXON)
        modes.c_oflag |= tcflag_t(OPOST | ONLCR)
        tcsetattr(slave.fileDescriptor, TCSANOW, &modes)
        tcgetattr(slave.fileDescriptor, &modes)
        originalModes = modes
        process.executableURL = try Program.folder.appendingPathComponent("mediated")
        process.arguments = ["top", "--interval", "0.1"] + sockets
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = slave
        process.standardError = FileHandle.nullDevice
        try process.run()
    }

    deinit {
        if process.isRunning { kill(process.processIdentifier, SIGKILL) }
    }

    var modes: termios {
        var modes = termios()
        tcgetattr(slave.fileDescriptor, &modes)
        return modes
    }

    func press(_ keys: String) throws {
        let bytes = Array(keys.utf8)
        #expect(pty?.stream.send(bytes.span.bytes) == .bytes(bytes.count))
    }

    func resize(columns: UInt16, lines: UInt16) throws {
        var size = winsize(ws_row: lines, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0)
        try #require(ioctl(slave.fileDescriptor, UInt(TIOCSWINSZ), &size) == 0)
    }

    /// Reads until the lines on the screen are as they should be; fails when that takes half a minute.
    func wait(until isDone: ([String]) -> Bool) throws {
        let deadline = Deadline(after: .seconds(30))
        while !isDone(screen) {
            let open = pty?.stream.descriptor.raw
            let raw = try #require(open)
            try #require(try waitReadable([raw], within: deadline.left)[0], "The screen is \(screen)")
            try #require(read(), "It ended: \(screen)")
        }
    }

    /// Whether there may be more to read.
    private func read() -> Bool {
        var bytes = [UInt8](repeating: 0, count: 65536)
        var span = bytes.mutableSpan
        var raw = span.mutableBytes
        switch pty?.stream.receive(into: &raw) {
        case .bytes(let count):
            output += String(decoding: bytes[..<count], as: UTF8.self)
            return true
        case .blocked: return true
        case .ended, nil: return false
        }
    }

    /// The last whole picture.
    private var screen: [String] {
        guard let end = output.range(of: "\u{1B}[J", options: .backwards),
            let start = output.range(of: "\u{1B}[H", options: .backwards, range: output.startIndex..<end.lowerBound)
        else { return [] }
        return output[start.upperBound..<end.lowerBound].components(separatedBy: "\r\n").map {
            // The terminal puts a carriage return before each line feed, the view's own among them.
            $0.replacingOccurrences(of: "\u{1B}[K", with: "").replacingOccurrences(of: "\r", with: "")
        }
    }

    /// Forgets what it has written so far.
    func forget() { output = "" }

    /// Takes what is still to be read, and makes sure that nothing of the view is left.
    func expectRestored() throws {
        while !output.hasSuffix(Self.leaving), let raw = pty?.stream.descriptor.raw,
            try waitReadable([raw], within: .seconds(10))[0], read()
        {}
        #expect(output.hasSuffix(Self.leaving))
        let (now, before) = (modes, originalModes)
        #expect(now.c_lflag == before.c_lflag)
        #expect(now.c_iflag == before.c_iflag)
        #expect(now.c_oflag == before.c_oflag)
        #expect(now.c_cflag == before.c_cflag)
    }

    func waitUntilStopped() throws {
        var information = siginfo_t()
        try #require(
            waitid(P_PID, id_t(process.processIdentifier), &information, Int32(WSTOPPED) | Int32(WNOWAIT)) == 0
        )
    }

    /// Writes to the terminal until it takes no more.
    func fill() throws {
        let path = try #require(pty?.path)
        let descriptor = Descriptor(owning: open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC))
        let bytes = [UInt8](repeating: UInt8(ascii: "x"), count: 4096)
        bytes.withUnsafeBytes { bytes in while let count = try? descriptor.write(bytes), count > 0 {} }
    }

    func hangUp() { pty = nil }

    /// Waits for its end.
    func status() -> Int32 {
        process.waitUntilExit()
        return process.terminationStatus
    }
}
