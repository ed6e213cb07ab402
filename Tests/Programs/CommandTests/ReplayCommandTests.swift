import Foundation
import Programs
import Recording
import Tap
import Testing

/// `mediated replay`, over what a stock driver has done.
@Suite struct ReplayCommandTests {
    private let scratch: Scratch
    private let path: String

    init() throws {
        scratch = try Scratch()
        path = scratch.path("recording.pcapng")
        let packed = Repository.file("Tests/Tools/ReplayTests/Recordings/seabios-bochs-display.pcapng.zst").path
        let unpacked = try Program.run(URL(fileURLWithPath: "/usr/bin/zstd"), ["-q", "-d", packed, "-o", path])
        try #require(unpacked.status == 0, "\(unpacked.errors)")
    }

    /// The recording with a change.
    private func changed(_ change: (inout [Record]) throws -> Void) throws -> String {
        let reader = try RecordingReader(path: path)
        var records: [Record] = []
        while let record = try reader.next() { records.append(record) }
        try change(&records)
        let other = scratch.path("changed.pcapng")
        let writer = try RecordingWriter(path: other, replaces: true)
        for record in records { try writer.append(record) }
        try writer.flush()
        return other
    }

    @Test func whatIsTheSameIsSaidWithStatusZero() throws {
        let outcome = try Command.run("replay", path)
        #expect(outcome.status == 0, "\(outcome.errors)")
        #expect(outcome.output.contains("events were the same. 1 picture was the same, pixel for pixel."))
    }

    @Test func theFirstDifferenceIsShownWithWhatWasBefore() throws {
        var number: UInt64 = 0
        let other = try changed { records in
            let place = try #require(records.lastIndex { $0.kind == .init(.read) && $0.region == 7 })
            records[place].value ^= 1
            records[place].bytes[0] ^= 1
            number = records[place].number
        }
        let outcome = try Command.run("replay", other)
        #expect(outcome.status == 65)
        #expect(outcome.output.contains("Event \(number) was recorded, and another came:\n  recorded  "))
        #expect(outcome.output.contains("Before it:\n"))
        #expect(outcome.errors == "mediated: The device did something else than the recorded one.\n")
        // Up to there all is well.
        #expect(try Command.run("replay", other, "--until", "\(number)").status == 0)
    }

    @Test func aStateOnTheWayIsOneThatADeviceGoesOnFrom() throws {
        let state = scratch.path("state")
        let outcome = try Command.run("replay", path, "--until", "300", "--save", state)
        #expect(outcome.status == 0, "\(outcome.errors)")
        let device = try RunningDevice("bochs-display", "--option", "resolution=640x480", "--state", state, in: scratch)
        device.terminate()
        #expect(device.status() == 0)
        let folder = try Command.run("replay", path, "--save", scratch.path("none/state"))
        #expect(folder.status == 73)
    }

    @Test func aRecordingThatIsCutOffIsReplayedUpToThere() throws {
        let other = try changed { records in records.removeLast(records.count - 200) }
        let outcome = try Command.run("replay", other)
        #expect(outcome.status == 0, "\(outcome.errors)")
        #expect(outcome.output.contains("The recording was not ended in good order."))
    }

    @Test func wrongFilesAndOptionsAreAnswered() throws {
        let text = scratch.path("text")
        try "no recording".write(toFile: text, atomically: true, encoding: .utf8)
        let wrong: [([String], Int32, String)] = [
            ([scratch.path("none")], 66, "Can't read"),
            ([text], 76, "can't be read: it is no pcapng file"),
            ([path, "-o", "colour=red"], 64, "has no option 'colour'"),
            ([path, "-o", "colour"], 64, "must be KEY=VALUE"),
            ([path, "-o", "vram=1280K", "-o", "resolution=640x480"], 65, "don't fit the device"),
            ([path, "--until", "soon"], 64, "soon"),
            ([], 64, "file"),
        ]
        for (arguments, status, words) in wrong {
            let outcome = try Command.run(["replay"] + arguments)
            #expect(outcome.status == status, "\(arguments): \(outcome.errors)")
            #expect(outcome.errors.contains(words), "\(arguments): \(outcome.errors)")
        }
        let type = try changed {
            $0[0].bytes = Array(
                String(decoding: $0[0].bytes, as: UTF8.self)
                    .replacingOccurrences(of: "bochs-display", with: "\u{1b}[2Jnothing").utf8)
        }
        let outcome = try Command.run("replay", type)
        #expect(outcome.status == 76 || outcome.status == 64)
        #expect(!outcome.errors.contains("\u{1b}"))
    }
}
