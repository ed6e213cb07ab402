import DaemonClient
import Foundation
import JSON
import Linux
import Programs
import RunningDaemon
import Testing

/// What becomes of the verbs when the daemon isn't there, or isn't one.
@Suite struct ConnectionTests {
    let scratch: Scratch

    init() throws {
        scratch = try Scratch()
        try FileManager.default.createDirectory(atPath: scratch.path("run"), withIntermediateDirectories: false)
    }

    /// Each verb that can't do without a daemon.
    static let verbs = [
        ["list"], ["define", "-t", "serial", "-p", "cpu"], ["define", "-t", "serial"], ["undefine", unknownUUID],
        ["modify", unknownUUID, "--auto"], ["start", unknownUUID], ["start", "-t", "serial"], ["stop", unknownUUID],
        ["show", unknownUUID], ["logs", unknownUUID], ["events"], ["events", unknownUUID], ["top", "--once"],
        ["metrics"], ["info", unknownUUID], ["statistics", unknownUUID], ["screenshot", unknownUUID, "a.png"],
        ["attach-args", unknownUUID], ["inspect", unknownUUID], ["types", "-p", "cpu"], ["types", "--dumpjson"],
    ]

    @Test(arguments: verbs) func whereNobodyListensTheWayOutIsSaid(arguments: [String]) throws {
        let outcome = try Command.run(arguments + ["--root", scratch.url.path])
        #expect(outcome.status == 69)
        #expect(
            outcome.errors == "mediated: No daemon listens at '\(scratch.path("run/mediated.sock"))': "
                + "start it with 'mediated daemon' or 'systemctl start mediated'.\n")
        #expect(outcome.output.isEmpty)
    }

    /// Runs a command as a user without rights.
    @Test(.enabled(if: geteuid() == 0)) func whoMayNotConnectIsSaidSo() throws {
        let daemon = try RunningDaemon()
        let program = try Program.folder.appendingPathComponent("mediated").path
        for arguments in [["list"], ["types"], ["top", "--once"], ["info", unknownUUID]] {
            let outcome = try Command.run(
                ["--reuid", "65534", "--clear-groups", program] + arguments + ["--root", daemon.root],
                at: URL(fileURLWithPath: "/usr/bin/setpriv"))
            #expect(outcome.status == 77)
            #expect(outcome.errors.hasPrefix("mediated: You may not connect to the daemon at"), "\(outcome.errors)")
        }
    }

    @Test func typesNeedNoDaemon() throws {
        let outcome = try Command.run("types", "--root", scratch.url.path)
        #expect(outcome.status == 0)
        #expect(outcome.output.hasPrefix("bochs-display\n  "))
    }

    @Test func theEnvironmentNamesTheRoot() throws {
        let process = Process()
        process.executableURL = try Program.folder.appendingPathComponent("mediated")
        process.arguments = ["list"]
        process.environment = ["MEDIATED_ROOT": scratch.url.path]
        let errors = Pipe()
        process.standardError = errors
        try process.run()
        let text = String(decoding: errors.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        #expect(process.terminationStatus == 69 && text.contains("'\(scratch.path("run/mediated.sock"))'"))
    }

    @Test func aRootMayBeRelative() throws {
        let outcome = try Command.run("list", "--root", "a/b", in: scratch.url)
        #expect(outcome.status == 69 && outcome.errors.contains("\(scratch.url.path)/a/b/run/mediated.sock"))
    }

    @Test func aRootThatIsTooLongForASocketIsSaidSo() throws {
        let root = scratch.path(String(repeating: "a", count: 100))
        let outcome = try Command.run("list", "--root", root)
        #expect(outcome.status == 64 && outcome.errors.contains("is too long for a socket's path"))
        let daemon = try Command.run("daemon", "--root", root)
        #expect(daemon.status == 1 && daemon.errors.contains("mediated-daemon: "))
    }

    @Test(
        arguments: [
            ("", 69, "The daemon has ended"),
            ("SSH-2.0-OpenSSH_9.2\r\n", 76, "none that this program understands"),
            ("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n{]{]", 76, "byte 1"),
            ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}", 76, "the member 'vgpus' is missing"),
            ("HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{}", 69, "The daemon has ended"),
            ("HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n{}", 76, "it is too long"),
            ("HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n", 76, "status 502 without a reason"),
        ] as [(String, Int32, String)])
    func whoIsNoDaemonIsSaidSo(answer: String, status: Int32, words: String) throws {
        let impostor = try Impostor(at: scratch.path("run/mediated.sock"), saying: answer)
        defer { impostor.end() }
        let outcome = try Command.run("list", "--root", scratch.url.path)
        #expect(outcome.status == status)
        #expect(outcome.errors.contains(words), "\(outcome.errors)")
        #expect(outcome.output.isEmpty)
    }

    @Test(
        arguments: [
            ("invalid", 64), ("not-found", 66), ("conflict", 69), ("exhausted", 69), ("failed", 70), ("forbidden", 77),
            ("method-not-allowed", 76), ("too-large", 76), ("unsupported-media-type", 76),
        ] as [(String, Int32)])
    func aProblemIsASentenceAndAStatus(code: String, status: Int32) throws {
        let body = #"{"status":418,"title":"No","code":"\#(code)","detail":"It can't be.\u001b"}"#
        let answer =
            "HTTP/1.1 418 No\r\ncontent-type: application/problem+json\r\ncontent-length: \(body.utf8.count)\r\n\r\n"
        let impostor = try Impostor(at: scratch.path("run/mediated.sock"), saying: answer + body)
        defer { impostor.end() }
        let outcome = try Command.run("list", "--root", scratch.url.path)
        #expect(outcome.status == status)
        #expect(outcome.errors == "mediated: It can't be.\\u{1b}\n")
    }

    @Test func whoSaysNothingIsNotWaitedForWithoutEnd() throws {
        let path = scratch.path("run/mediated.sock")
        // Nobody accepts; the kernel does.
        let listener = try UnixListener(path: path)
        let client = DaemonClient(path: path, patience: .zero)
        #expect(throws: DaemonClientError.timedOut) { try client.bytes("/v1/status") }
        #expect(listener.path == path)
    }

    @Test func whatTheDaemonSaysCannotControlTheTerminal() throws {
        let vgpu = #"""
            {"uuid":"a\u001b[2J","parent":"p\n","type":"t\u202e","state":"running","defined":true,"autostart":false,
            "attributes":{"a\u0007":"b"},"restarts":0}
            """#
        let body = #"{"vgpus":[\#(vgpu)]}"#
        let answer = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: \(body.utf8.count)\r\n\r\n"
        let impostor = try Impostor(at: scratch.path("run/mediated.sock"), saying: answer + body)
        defer { impostor.end() }
        let outcome = try Command.run("list", "-v", "--root", scratch.url.path)
        #expect(outcome.status == 0)
        #expect(outcome.output.contains("a\\u{1b}[2J  p\\u{a}"))
        #expect(outcome.output.unicodeScalars.allSatisfy { $0 == "\n" || $0.value >= 0x20 && $0.value < 0x7F })
    }

    @Test func theCompanionProgramIsLookedFor() throws {
        let lonely = scratch.path("mediated")
        try FileManager.default.copyItem(
            atPath: try Program.folder.appendingPathComponent("mediated").path, toPath: lonely)
        let outcome = try Command.run("daemon", at: URL(fileURLWithPath: lonely))
        #expect(outcome.status == 72)
        #expect(outcome.errors.hasPrefix("mediated: The program mediated-daemon is missing"))
    }
}
