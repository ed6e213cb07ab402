import Foundation
import Glibc
import JSON
import Programs
import RunningDaemon
import Testing
import VFIOUserClient

/// `mediated trace` of what is there already, and the files that it writes.
@Suite struct TraceRecordedTests {
    let scratch: Scratch

    init() throws {
        scratch = try Scratch()
    }

    /// A device whose scratch register was written once.
    private func device(_ value: UInt32, _ arguments: String...) throws -> RunningDevice {
        let device = try RunningDevice("exerciser", in: scratch)
        try write(value, to: device)
        return device
    }

    private func write(_ value: UInt32, to device: RunningDevice) throws {
        let client = try Client(path: device.socket)
        try client.write(value, region: 0, offset: 4)
        // Answered, so all before is carried out.
        _ = try client.read(region: 0, offset: 4, count: 4)
    }

    @Test func onlyWhatCameLaterIsShown() throws {
        let device = try device(7)
        func count(since time: String) throws -> Int {
            let outcome = try Command.run(
                "trace", device.socket, "--recorded", "--json", "--only", "write register=scratch", "--since", time)
            #expect(outcome.status == 0, "\(outcome.errors)")
            return outcome.output.split(separator: "\n").count
        }
        #expect(try count(since: "1h") == 1)
        #expect(try count(since: "2026-01-01T00:00:00Z") == 1)
        #expect(try count(since: "0s") == 0)
        #expect(try count(since: "2400-01-31T19:32:52.5Z") == 0)
        // Live, what is kept since then comes first.
        let live = try Command.run(
            "trace", device.socket, "--since", "1h", "--count", "1", "--json", "--only", "write register=scratch")
        #expect(live.status == 0 && live.output.contains("0x7"), "\(live)")
    }

    @Test func followingGoesOnWithWhatComes() throws {
        let device = try device(7)
        let process = Process()
        process.executableURL = try Program.folder.appendingPathComponent("mediated")
        process.arguments = [
            "trace", device.socket, "--recorded", "--follow", "--count", "2", "--only", "write register=scratch",
        ]
        let output = Pipe()
        process.standardOutput = output
        try process.run()
        let before = try output.read(until: "0x00000007")
        #expect(!before.contains("0x00000008"))
        try write(8, to: device)
        #expect(try output.read(until: "0x00000008").split(separator: "\n").count == 1)
        process.waitUntilExit()
        #expect(process.terminationStatus == 0)
    }

    @Test func filesAreWrittenInsteadOfLines() throws {
        let device = try device(7)
        let (trace, picture) = (scratch.path("trace.json"), scratch.path("trace.svg"))
        let outcome = try Command.run(
            "trace", device.socket, "--recorded", "--perfetto", trace, "--plot", picture)
        #expect(outcome.status == 0 && outcome.output.isEmpty, "\(outcome)")
        let json = try JSON(parsing: String(contentsOfFile: trace, encoding: .utf8))
        let entries = try #require(json["traceEvents"]?.array)
        #expect(entries.contains { $0["ph"] == "X" && $0["name"] == "scratch" && $0["cat"] == "write" })
        let mode = try FileManager.default.attributesOfItem(atPath: trace)[.posixPermissions] as? Int
        #expect(mode == 0o600)
        let svg = try String(contentsOfFile: picture, encoding: .utf8)
        #expect(svg.contains("bar0 writes") && svg.hasSuffix("</svg>\n"))
    }

    @Test func aPipeHasNoColors() throws {
        let device = try device(7)
        #expect(try !Command.run("trace", device.socket, "--recorded").output.contains("\u{1b}"))
    }

    // MARK: Processes that died

    /// Until the process beside the device's has the recorder's memory, which nobody tells.
    private func waitForKeeper(of device: RunningDevice) throws {
        let deadline = Date() + 60
        while Date() < deadline {
            let children = try? String(
                contentsOfFile: "/proc/\(device.pid)/task/\(device.pid)/children", encoding: .utf8)
            for child in (children ?? "").split(separator: " ") {
                let folder = "/proc/\(child)/fd"
                let files = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
                let targets = files.compactMap {
                    try? FileManager.default.destinationOfSymbolicLink(atPath: "\(folder)/\($0)")
                }
                if targets.contains(where: { $0.contains("memfd:events") }) { return }
            }
        }
        Issue.record("Nobody has the memory of the device's recorder.")
    }

    @Test func aProcessThatDiesLeavesItsLastEvents() throws {
        let device = try device(0x5eed)
        let kept = device.socket + ".control.events"
        try waitForKeeper(of: device)
        device.kill()
        let said = try device.said(until: "trace --recorded")
        #expect(said.contains("has died. Its last events were:"), "\(said)")
        #expect(said.contains("scratch") && said.contains("0x00005eed"), "\(said)")
        let outcome = try Command.run("trace", device.socket, "--recorded", "--only", "write register=scratch")
        #expect(outcome.status == 0, "\(outcome.errors)")
        #expect(outcome.output.hasPrefix("Of the device process that died:\n"))
        #expect(outcome.output.contains("0x00005eed"))
        let mode = try FileManager.default.attributesOfItem(atPath: kept)[.posixPermissions] as? Int
        #expect(mode == 0o600)
        // Nobody takes it for what the next one has done.
        let next = try RunningDevice("exerciser", in: scratch)
        #expect(!FileManager.default.fileExists(atPath: kept))
        #expect(try !Command.run("trace", next.socket, "--recorded").output.contains("0x00005eed"))
    }

    @Test func aProcessThatEndsInOrderLeavesNone() throws {
        let device = try device(7)
        try waitForKeeper(of: device)
        device.terminate()
        #expect(device.status() == 0)
        // Standard error ends with the last who has it.
        #expect(throws: Program.Ended.self) { try device.said(until: "has died") }
        #expect(!FileManager.default.fileExists(atPath: device.socket + ".control.events"))
        #expect(
            try Command.run("trace", device.socket, "--recorded").status == Command.run("info", device.socket).status)
    }

    @Test func anotherFileThanARecordersIsNotShown() throws {
        let socket = scratch.path("socket")
        try Data(repeating: 7, count: 4096 + 16_384 * 64 + 6).write(
            to: URL(fileURLWithPath: socket + ".control.events"))
        let outcome = try Command.run("trace", socket, "--recorded")
        #expect(outcome.status == 76, "\(outcome)")
        #expect(outcome.errors.contains("can't be read"))
    }

    @Test func aVGPUIsShownWithTheLastEventsOfAProcessThatDied() throws {
        let daemon = try RunningDaemon()
        let vgpu = try daemon.started()
        #expect(try !daemon.output("show", vgpu.uuid).contains("last events"))
        do {
            let client = try Client(path: try #require(vgpu.socket))
            try client.write(UInt32(0x5eed), region: 0, offset: 4)
            _ = try client.read(region: 0, offset: 4, count: 4)
        }
        // The daemon asks for the recorder beside all else.
        while try Command.run("trace", vgpu.uuid, "--recorded", "--root", daemon.root).status != 0 {}
        kill(Int32(try #require(vgpu.pid)), SIGKILL)
        while try !daemon.output("events", vgpu.uuid).contains("  died ") {}
        let text = try daemon.output("show", vgpu.uuid)
        #expect(text.contains("last events of the process that died"), "\(text)")
        #expect(text.contains(#/scratch +0x00005eed/#), "\(text)")
        let json = try JSON(parsing: daemon.output("show", vgpu.uuid, "--json"))
        #expect(json["lastEvents"]?.array?.contains { $0["register"] == "scratch" && $0["value"] == "0x5eed" } == true)
    }

    @Test func whatIsWrongIsSaid() throws {
        let nobody = scratch.path("nobody")
        for (words, sentence) in [
            (["--since", "yesterday"], "'yesterday' is no time; it can be so long ago, as in 10s"),
            (["--since", "25:00"], "is no time"), (["--since", "2026-02-30T00:00:00Z"], "is no time"),
            (["--since=-5s"], "is no time"), (["--follow"], "--follow is for --recorded"),
            (["--recorded", "--seconds", "1"], "or give --follow, too"),
            (["--recorded", "--follow", "--seconds", "0"], "must be from 0.001"),
        ] {
            let outcome = try Command.run(["trace", nobody] + words)
            #expect(outcome.status == 64, "\(words)")
            #expect(outcome.errors.contains(sentence), "\(outcome.errors)")
        }
        let device = try device(7)
        for option in ["--perfetto", "--plot"] {
            let outcome = try Command.run(
                "trace", device.socket, "--recorded", option, scratch.path("no/such/folder"))
            #expect(outcome.status == 73, "\(option): \(outcome)")
        }
    }
}
