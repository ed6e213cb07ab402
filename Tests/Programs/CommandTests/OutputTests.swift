import FakeQEMU
import JSON
import Programs
import Testing

/// What others say reaches the terminal as text and nothing else, by whatever command.
@Suite struct OutputTests {
    let scratch: Scratch

    init() throws {
        scratch = try Scratch()
    }

    /// A window's title, a C1 sequence, a line of one's own, text from right to left, DEL.
    private static let hostile = "\u{1B}]0;x\u{7}\u{9B}2J\nroot\r\u{202E}\u{7F}"

    /// What a terminal may have: one that shows no character outside ASCII would do.
    private func isHarmless(_ text: String) -> Bool {
        text.unicodeScalars.allSatisfy { ["\n", "\t"].contains($0) || (" "..."~").contains($0) }
    }

    /// Runs a command whose device process answers `result` to all that it is asked.
    private func outcome(of arguments: [String], answering result: JSON) throws -> Program.Outcome {
        let reply: JSON = ["version": 1, "result": result]
        let process = try Impostor(at: scratch.path("socket.control"), saying: reply.text + "\n", reply.text + "\n")
        defer { process.end() }
        return try Command.run([arguments[0], scratch.path("socket")] + arguments.dropFirst())
    }

    private static let info: JSON = [
        "name": .string(hostile), "type": .string(hostile), "options": [.string(hostile)], "process": 1,
        "socket": .string(hostile), "clientConnected": true, "uptimeSeconds": 1,
    ]
    private static let statistics: JSON = [
        "reads": .object(JSON.Object([(hostile, JSON(1))])), "text": .string(hostile), "list": [.string(hostile)],
    ]
    private static let events: JSON = [
        "events": [["number": 1, "time": 0, "kind": .string(hostile), "message": .string(hostile)]], "last": 1,
        "lost": 0,
    ]

    @Test(
        arguments: [
            (["info"], info), (["info", "--json"], info), (["statistics"], statistics),
            (["statistics", "--json"], statistics), (["events"], events), (["events", "--json"], events),
        ] as [([String], JSON)])
    func whatADeviceProcessSaysIsText(arguments: [String], result: JSON) throws {
        let outcome = try outcome(of: arguments, answering: result)
        #expect(outcome.status == 0, "\(outcome.errors)")
        #expect(isHarmless(outcome.output), "\(outcome.output.debugDescription)")
        #expect(!outcome.output.split(separator: "\n").contains { $0.hasPrefix("root") })
        if arguments.contains("--json") {
            #expect(outcome.output.contains(#"\u001b]0;x\u0007\u009b2J\nroot\r\u202e\u007f"#))
        } else {
            #expect(outcome.output.contains(#"\u{1b}]0;x\u{7}\u{9b}2J\u{a}root\u{d}\u{202e}\u{7f}"#))
        }
    }

    @Test func whatADeviceProcessRefusesIsText() throws {
        let reply: JSON = ["version": 1, "error": ["code": "failed", "message": .string(Self.hostile)]]
        let process = try Impostor(at: scratch.path("socket.control"), saying: reply.text + "\n")
        defer { process.end() }
        let outcome = try Command.run("info", scratch.path("socket"))
        #expect(outcome.status == 70)
        #expect(isHarmless(outcome.errors), "\(outcome.errors.debugDescription)")
    }

    @Test func whatIsMeasuredOfADeviceProcessIsText() throws {
        let process = try Impostor(
            at: scratch.path("socket.control"), saying: (["version": 1, "result": Self.info] as JSON).text + "\n",
            (["version": 1, "result": Self.statistics] as JSON).text + "\n")
        defer { process.end() }
        let outcome = try Command.run("metrics", scratch.path("socket"))
        #expect(outcome.status == 0, "\(outcome.errors)")
        #expect(outcome.output.contains("mediated_vgpu_up"))
        #expect(isHarmless(outcome.output.replacing("\u{FFFD}", with: "?")), "\(outcome.output.debugDescription)")
    }

    @Test func whatQEMUSaysIsText() throws {
        let device = try RunningDevice("bochs-display", in: scratch)
        let bus = "rp\(Self.hostile)"
        let changes: [String: [JSON]] = [
            "qom-list /machine/peripheral/rp": [FakeQEMU.properties(["hotplug": "bool", bus: "child<PCIE>"])],
            "qom-list /machine/peripheral/rp/\(bus)": [FakeQEMU.properties([:])],
        ]
        let answers = FakeQEMU.machine.merging(changes) { $1 }
        let qemu = try FakeQEMU(at: scratch.path("qmp"), answers: answers)
        defer { qemu.end() }
        let outcome = try Command.run("attach", device.socket, "--qmp", scratch.path("qmp"))
        #expect(outcome.status == 0, "\(outcome.errors)")
        #expect(outcome.output.contains(#"rp\u{1b}]0;x\u{7}\u{9b}2J\u{a}root\u{d}\u{202e}\u{7f}"#))
        #expect(isHarmless(outcome.output), "\(outcome.output.debugDescription)")
    }

    /// A path is whatever some other user has called it.
    @Test func aPathInTheLogIsText() throws {
        let socket = scratch.path("a\u{1B}[2J\n\u{9B}")
        let outcome = try Command.run("attach-args", socket)
        #expect(outcome.status == 0)
        #expect(isHarmless(outcome.output), "\(outcome.output.debugDescription)")
        let device = try Command.run(
            "bochs-display", "--socket", socket, "--restore", socket,
            at: Program.folder.appendingPathComponent("mediated-device"))
        #expect(device.status == 66)
        #expect(isHarmless(device.errors), "\(device.errors.debugDescription)")
    }
}
