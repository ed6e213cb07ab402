import Foundation
import JSON
import Programs
import RunningDaemon
import Testing

/// `mediated start`, `stop`, `show`, `logs`
@Suite struct StartStopTests {
    let daemon: RunningDaemon

    init() throws {
        daemon = try RunningDaemon()
    }

    @Test func whatIsDefinedStartsAndStops() throws {
        let uuid = try daemon.define()
        #expect(try daemon.output("start", "-u", uuid, "-p", "cpu").isEmpty)
        let vgpu = try daemon.vgpu(uuid)
        let pid = try #require(vgpu.pid)
        #expect(vgpu.state == "running" && kill(pid, 0) == 0)
        try daemon.expectFailure(69, "is running already", "start", uuid)
        #expect(try daemon.output("stop", "-u", uuid).isEmpty)
        #expect(try daemon.vgpu(uuid).state == "stopped")
        #expect(kill(pid, 0) == -1)
        try daemon.expectFailure(69, "doesn't run", "stop", uuid)
        #expect(try daemon.output("start", uuid).isEmpty)
        #expect(try daemon.output("stop", uuid).isEmpty)
    }

    @Test func aStopThatComesLateStopsNobodyElsesStart() throws {
        let uuid = try daemon.define()
        func start() throws -> String {
            let vgpu = try JSON(parsing: daemon.output("start", uuid, "--json"))
            #expect(vgpu["uuid"] == .string(uuid) && vgpu["state"] == "running")
            return "\(try #require(vgpu["generation"]?.int))"
        }
        let first = try start()
        #expect(try daemon.output("show", uuid).contains("\ngeneration  \(first)\n"))
        #expect(try daemon.output("stop", uuid, "--start", first).isEmpty)
        let second = try start()
        try daemon.expectFailure(69, "every earlier one is over", "stop", uuid, "--start", first)
        try daemon.expectFailure(69, "it has had no start 99", "stop", uuid, "--start", "99")
        #expect(try daemon.output("stop", uuid, "--start", second).isEmpty)
        try daemon.expectFailure(64, "--start goes with a vGPU's UUID", "stop", "./socket", "--start", "1")
    }

    @Test func whatIsNotDefinedIsGoneWhenItStops() throws {
        let uuid = UUID().uuidString.lowercased()
        let file = try daemon.scratch.write(#"{"mdev_type": "serial", "attrs": [{"line": "none"}]}"#, to: "a.json")
        #expect(try daemon.output("start", "-u", uuid, "-p", "cpu", "--jsonfile", file).isEmpty)
        #expect(try daemon.vgpu(uuid).attributes == ["line": "none"])
        #expect(try daemon.output("list", "-d").isEmpty)
        #expect(try daemon.output("stop", uuid).isEmpty)
        #expect(try daemon.output("list").isEmpty)
        // Without a UUID it gets one, which is printed.
        let printed = try daemon.output("start", "-t", "serial").dropLast()
        #expect(try daemon.vgpu(String(printed)).type == "serial")
    }

    @Test func whatCannotBeStartedOrStoppedIsSaidWhy() throws {
        let uuid = try daemon.define("serial")
        try daemon.expectFailure(69, "There is a vGPU \(uuid) already", "start", "-u", uuid, "-t", "serial")
        try daemon.expectFailure(66, "There is no vGPU", "start", unknownUUID)
        try daemon.expectFailure(66, "is none of parent 'gpu9'", "start", uuid, "-p", "gpu9")
        try daemon.expectFailure(64, "Name a vGPU that is defined", "start")
        try daemon.expectFailure(64, "'mediated modify'", "start", uuid, "--attribute", "line=none")
        try daemon.expectFailure(64, "'mediated modify'", "start", uuid, "--owner", "0")
        try daemon.expectFailure(66, "There is no vGPU", "stop", unknownUUID)
        try daemon.expectFailure(64, "one UUID, or one socket", "stop")
        try daemon.expectFailure(64, "one UUID, or one socket", "stop", uuid, "-u", uuid)
        try daemon.expectFailure(64, "--control goes with a socket", "stop", uuid, "--control", "a")
        try daemon.expectFailure(66, "There is no control socket", "stop", daemon.scratch.path("none"))
    }

    @Test func moreThanTheParentHasIsNotStarted() throws {
        let parents = try JSON(parsing: daemon.client.bytes("/v1/parents"))
        let memory = try #require(parents["parents"]?[0]?["videoMemory"]?.int)
        // Of the largest displays so many that the last one finds no room.
        for _ in 0..<(memory >> 28) { _ = try daemon.started("bochs-display", "--attribute", "vram=256M") }
        try daemon.expectFailure(69, "has", "start", "-t", "bochs-display", "--attribute", "vram=256M")
    }

    // MARK: show

    @Test func showTellsAllOfIt() throws {
        let uuid = try daemon.define("bochs-display", "--attribute", "vram=8M", "--attribute", "refresh=75")
        let stopped = try daemon.output("show", uuid)
        #expect(stopped.hasPrefix("uuid        \(uuid)\nparent      cpu\ntype        bochs-display\n"))
        #expect(stopped.contains("\nstate       stopped\nstart       manual\n"))
        #expect(stopped.contains("\nattributes  refresh=75 vram=8M\nowner       the daemon's user\nrestarts    0\n"))
        #expect(!stopped.contains("socket"))
        _ = try daemon.output("start", uuid)
        let vgpu = try daemon.vgpu(uuid)
        let running = try daemon.output("show", "-u", uuid)
        #expect(running.contains("\nsocket      \(try #require(vgpu.socket))\nprocess     \(try #require(vgpu.pid))\n"))
        #expect(running.contains("\nclient      none\nuptime "))
        let log = try #require(running.range(of: "\nlog\n"))
        #expect(running[log.upperBound...].contains("Serving 'bochs-display'"))
    }

    @Test func showAsJSONSaysTheSame() throws {
        let vgpu = try daemon.started()
        let shown = try JSON(parsing: daemon.output("show", vgpu.uuid, "--json"))
        #expect(shown["uuid"] == .string(vgpu.uuid) && shown["state"] == "running")
        #expect(shown["clientConnected"] == false && shown["uptimeSeconds"]?.double ?? -1 >= 0)
        #expect(shown["log"]?.array?.contains { $0.string?.contains("Serving") == true } == true)
        try daemon.expectFailure(66, "There is no vGPU", "show", unknownUUID)
        try daemon.expectFailure(64, "No vGPU is named", "show")
    }

    // MARK: logs

    @Test func logsPrintsTheLastLines() throws {
        let vgpu = try daemon.started()
        let all = try daemon.output("logs", vgpu.uuid).split(separator: "\n")
        #expect(all.count > 1)
        #expect(try daemon.output("logs", "-u", vgpu.uuid, "-n", "1") == all[all.count - 1] + "\n")
        try daemon.expectFailure(64, "must be from 1 to 10000", "logs", vgpu.uuid, "-n", "0")
        try daemon.expectFailure(66, "There is no vGPU", "logs", unknownUUID)
        try daemon.expectFailure(64, "No vGPU is named", "logs")
    }

    @Test func followedLogsGoOnWithWhatComes() throws {
        let vgpu = try daemon.started()
        let process = Process()
        process.executableURL = try Program.folder.appendingPathComponent("mediated")
        process.arguments = ["logs", vgpu.uuid, "-f", "-n", "1", "--root", daemon.root]
        let output = Pipe()
        process.standardOutput = output
        process.standardError = Pipe()
        try process.run()
        var text = ""
        func wait(until isThere: (String) -> Bool) throws {
            while !isThere(text) {
                let more = output.fileHandleForReading.availableData
                try #require(!more.isEmpty, "It ended: \(text)")
                text += String(decoding: more, as: UTF8.self)
            }
        }
        try wait { $0.contains("Serving") }
        // The next process writes to the same log.
        kill(try #require(vgpu.pid), SIGKILL)
        try wait { $0.components(separatedBy: "Serving").count == 3 }
        #expect(Set(text.split(separator: "\n")).count >= 2)
        // With the vGPU the log is no longer the daemon's to tell.
        _ = try daemon.output("stop", vgpu.uuid)
        process.waitUntilExit()
        #expect(process.terminationStatus == 66)
    }
}
