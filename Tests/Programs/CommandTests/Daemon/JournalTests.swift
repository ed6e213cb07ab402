import Foundation
import JSON
import Programs
import RunningDaemon
import Testing

/// `mediated events` of the daemon's journal.
@Suite struct JournalTests {
    let daemon: RunningDaemon

    init() throws {
        daemon = try RunningDaemon()
    }

    @Test func theJournalIsATableOfAllVGPUs() throws {
        let vgpu = try daemon.started("serial")
        let uuid = try daemon.define("exerciser")
        let lines = try daemon.output("events").split(separator: "\n").map { $0.split(separator: " ").map(String.init) }
        let columns = lines.map { Array($0[1...2]) }
        #expect(columns.contains(["started", vgpu.uuid]) && columns.contains(["defined", uuid]))
        #expect(lines.allSatisfy { $0[0].wholeMatch(of: #/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z/#) != nil })
        #expect(try #require(lines.last).dropFirst(3).joined(separator: " ") == "Defined as a exerciser of cpu.")
    }

    @Test func ofOneVGPUOnlyItsOwnIsPrinted() throws {
        let vgpu = try daemon.started("serial")
        let uuid = try daemon.define("exerciser")
        let events = try daemon.output("events", "--vgpu", uuid)
        #expect(events.split(separator: "\n").count == 1)
        #expect(events.contains("  defined ") && !events.contains(uuid) && !events.contains(vgpu.uuid))
        #expect(try daemon.output("events", uuid) == events)
        let event = try JSON(parsing: daemon.output("events", uuid, "--json"))
        #expect(event["vgpu"] == .string(uuid) && event["kind"] == "defined" && event["number"]?.int ?? 0 > 1)
        #expect(event["time"]?.double ?? 0 > 1_700_000_000 && event["message"] == "Defined as a exerciser of cpu.")
    }

    @Test func followingGoesOnUntilTheDaemonEnds() throws {
        let uuid = try daemon.define("exerciser")
        let process = Process()
        process.executableURL = try Program.folder.appendingPathComponent("mediated")
        process.arguments = ["events", "--follow", "--json", "--vgpu", uuid, "--root", daemon.root]
        let (output, errors) = (Pipe(), Pipe())
        (process.standardOutput, process.standardError) = (output, errors)
        try process.run()
        var text = ""
        func wait(for kind: String) throws {
            while !text.contains(#""kind":"\#(kind)""#) {
                let more = output.fileHandleForReading.availableData
                try #require(!more.isEmpty, "It ended: \(text)")
                text += String(decoding: more, as: UTF8.self)
            }
        }
        try wait(for: "defined")
        _ = try daemon.define("serial")
        _ = try daemon.output("start", uuid)
        try wait(for: "started")
        _ = try daemon.output("stop", uuid)
        try wait(for: "stopped")
        #expect(try text.split(separator: "\n").allSatisfy { try JSON(parsing: String($0))["vgpu"] == .string(uuid) })
        daemon.end()
        process.waitUntilExit()
        #expect(process.terminationStatus == 69)
        let complaint = String(decoding: errors.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        #expect(complaint == "mediated: The daemon has ended, or takes no more connections of this user.\n")
    }

    @Test func whatIsNotToBeHadIsSaidSo() throws {
        try daemon.expectFailure(66, "There is no vGPU", "events", unknownUUID)
        try daemon.expectFailure(66, "There is no vGPU", "events", "--vgpu", unknownUUID)
        try daemon.expectFailure(64, "Name one vGPU, or one socket", "events", unknownUUID, "--vgpu", unknownUUID)
        try daemon.expectFailure(64, "--control goes with a socket", "events", "--control", "a")
        try daemon.expectFailure(64, "--control goes with a socket", "events", unknownUUID, "--control", "a")
    }
}
