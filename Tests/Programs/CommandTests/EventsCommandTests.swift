import Programs
import FakeGuest
import Foundation
import JSON
import Linux
import Testing

@testable import Control
@testable import mediated

/// `mediated events`
@Suite struct EventsCommandTests {
    let scratch: Scratch

    init() throws {
        scratch = try Scratch()
    }

    @Test func whatHasHappenedIsATable() throws {
        let device = try RunningDevice("exerciser", in: scratch)
        let outcome = try Command.run("events", device.socket)
        #expect(outcome.status == 0)
        let line = #/(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z)  started            Serving 'exerciser' at (\S+)\.\n/#
        let match = try #require(try line.wholeMatch(in: outcome.output))
        #expect(match.2 == device.socket)
    }

    @Test func asJSONEveryLineIsAnEvent() throws {
        let device = try RunningDevice("exerciser", in: scratch)
        let outcome = try Command.run("events", device.socket, "--json")
        let event = try JSON(parsing: outcome.output)
        #expect(event["number"] == 1)
        #expect(event["kind"] == "started")
        #expect(event["message"]?.string == "Serving 'exerciser' at \(device.socket).")
        #expect(event["time"]?.double ?? 0 > 1_700_000_000)
    }

    @Test func followingGoesOnUntilTheProcessEnds() throws {
        let device = try RunningDevice("exerciser", in: scratch)
        let process = Process()
        process.executableURL = try Program.folder.appendingPathComponent("mediated")
        process.arguments = ["events", device.socket, "--follow", "--json"]
        let (output, errors) = (Pipe(), Pipe())
        (process.standardOutput, process.standardError) = (output, errors)
        try process.run()
        var text = ""
        func wait(for kind: String) throws {
            while !text.contains(kind) {
                let more = output.fileHandleForReading.availableData
                try #require(!more.isEmpty, "It ended: \(text)")
                text += String(decoding: more, as: UTF8.self)
            }
        }
        try wait(for: "started")
        let client = try RawClient(path: device.socket)
        try wait(for: "client-connected")
        client.socket.shutDown()
        try wait(for: "client-left")
        #expect(try Command.run("stop", device.socket).status == 0)
        process.waitUntilExit()
        #expect(process.terminationStatus == 69)
        let complaint = String(decoding: errors.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        #expect(complaint.hasPrefix("mediated: The device process has ended"))
        let numbers = try text.split(separator: "\n").map { try JSON(parsing: String($0))["number"]?.int }
        #expect(numbers == Array(1...3))
    }

    @Test func nobodyThereIsSaidSo() throws {
        #expect(try Command.run("events", scratch.path("none")).status == 66)
        #expect(try Command.run("events", scratch.path("none"), "--follow").status == 66)
    }

    @Test func aProcessThatTellsTheSameAgainAndAgainIsNotFollowed() throws {
        let reply = #"{"version":1,"result":{"events":[],"last":1,"lost":0}}"# + "\n"
        let impostor = try Impostor(at: scratch.path("socket.control"), saying: reply, reply)
        let outcome = try Command.run("events", scratch.path("socket"), "--follow")
        #expect(outcome.status == 76)
        #expect(outcome.errors.hasSuffix("it tells of no event behind number 1.\n"))
        impostor.end()
    }

    // MARK: Lines

    @Test func eventsThatAreLostAreSaidSoAndNothingControlsTheTerminal() {
        let events = ControlEvents(
            events: [
                ControlEvent(number: 45, time: 1_767_225_600.25, kind: "client-left", message: "It left."),
                ControlEvent(number: 46, time: .infinity, kind: "new\n", message: "\u{1B}[2J"),
            ], last: 46, lost: 44)
        #expect(
            events.lines == [
                "…                         …                  44 events are not kept any more.",
                "2026-01-01T00:00:00.250Z  client-left        It left.",
                "?                         new\\u{a}           \\u{1b}[2J",
            ])
    }

    @Test(
        arguments: [
            (0, "1970-01-01T00:00:00.000Z"), (951_782_400.9996, "2000-02-29T00:00:01.000Z"),
            (253_402_300_798, "9999-12-31T23:59:58.000Z"),
        ] as [(Double, String)])
    func timesAreUniversal(seconds: Double, text: String) {
        #expect(UTCTime(seconds)?.description == text)
    }

    @Test(arguments: [-1, .nan, .infinity, 253_402_300_799, 1e300] as [Double]) func timesBeyondTheCalendarAreNone(
        seconds: Double
    ) {
        #expect(UTCTime(seconds) == nil)
    }
}
