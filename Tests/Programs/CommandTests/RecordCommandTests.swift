import Foundation
import Glibc
import JSON
import Linux
import Programs
import Recording
import Tap
import Testing
import VFIOUserClient

/// `mediated record`
@Suite struct RecordCommandTests {
    let scratch: Scratch
    var file: String { scratch.path("recording.pcapng") }

    init() throws {
        scratch = try Scratch()
    }

    private func record(_ arguments: String...) throws -> Watching {
        try Watching(["record"] + arguments, until: "is recorded in")
    }

    /// What a file holds.
    private func records(_ path: String? = nil) throws -> (records: [Record], isCutOff: Bool) {
        let reader = try RecordingReader(path: path ?? file)
        var records: [Record] = []
        while let record = try reader.next() { records.append(record) }
        return (records, reader.isCutOff)
    }

    private func accesses(_ records: [Record]) -> [Record] {
        records.filter { $0.kind.event == .read || $0.kind.event == .write }
    }

    @Test(.enabled(if: Tshark.isThere, "tshark isn't installed"))
    func aRecordingHasAsManyAccessesAsTheStatisticsAndTsharkDecodesEach() throws {
        let device = try RunningDevice("bochs-display", in: scratch)
        let recorder = try record(device.socket, file)
        let client = try Client(path: device.socket)
        for (register, value) in [(4, 0), (1, 640), (2, 480), (3, 32), (4, 0x41)] as [(UInt64, UInt16)] {
            try client.write(value, region: 2, offset: 0x500 + register * 2)
        }
        for _ in 0..<100 { _ = try client.read(region: 2, offset: 0x500, count: 2) }
        let statistics = try JSON(parsing: Command.run("statistics", device.socket, "--json").output)
        recorder.interrupt()
        let outcome = try recorder.end()
        #expect(outcome.status == 0, "\(outcome.errors)")
        #expect(outcome.errors.contains("nothing was lost"), "\(outcome.errors)")
        let recorded = try records().records
        #expect(recorded.first?.kind == .description && recorded.last?.kind == .end)
        #expect(recorded.contains { $0.kind == .state } && recorded.contains { $0.kind == .picture })
        let expected = try ["reads", "writes"].reduce(0) { sum, name in
            try sum + #require(statistics[name]?.object).reduce(0) { $0 + ($1.value.int ?? 0) }
        }
        #expect(expected > 100)
        #expect(accesses(recorded).count == expected)
        let shown = try Tshark.fields(file, ["number"], filter: "vfio_user.kind == 1 || vfio_user.kind == 2")
        #expect(shown.count == expected)
        #expect(try Tshark.malformed(file).isEmpty)
        #expect(try Tshark.fields(file, ["device"], filter: "vfio_user.device") == [["bochs-display"]])
        #expect(
            try Tshark.fields(file, ["value"], filter: "vfio_user.register == \"dispi.height\" && vfio_user.kind == 2")
                == [["0x00000000000001e0"]])
    }

    @Test func onlyItsOwnerMayReadIt() throws {
        let device = try RunningDevice("exerciser", in: scratch)
        let recorder = try record(device.socket, file)
        recorder.interrupt()
        #expect(try recorder.end().status == 0)
        var status = stat()
        #expect(stat(file, &status) == 0)
        #expect(status.st_mode & 0o777 == 0o600)
    }

    @Test func aCountAndATimeEndIt() throws {
        let device = try RunningDevice("exerciser", in: scratch)
        let counting = try record(device.socket, file, "--count", "20", "--no-lossless")
        let client = try Client(path: device.socket)
        while counting.isRunning { try client.write(UInt32(7), region: 0, offset: 4) }
        #expect(try counting.end().status == 0)
        #expect(try records().records.count { $0.kind.event != nil && $0.partOffset == 0 } >= 20)
        let timed = try record(device.socket, scratch.path("timed"), "--seconds", "0.1")
        #expect(try timed.end().status == 0)
        #expect(try records(scratch.path("timed")).records.last?.kind == .end)
    }

    @Test func aRecorderThatIsKilledLeavesAFileAndTheDevice() throws {
        let device = try RunningDevice("exerciser", in: scratch)
        let recorder = try record(device.socket, file)
        let client = try Client(path: device.socket)
        for _ in 0..<5000 { try client.write(UInt32(7), region: 0, offset: 4) }
        recorder.kill()
        _ = try recorder.end()
        try client.write(UInt32(9), region: 0, offset: 4)
        #expect(try client.read(region: 0, offset: 4, count: 4) == [9, 0, 0, 0])
        #expect(try records().records.contains { $0.kind == .state })
        // The next one can begin.
        let next = try record(device.socket, file, "--replace")
        next.interrupt()
        #expect(try next.end().status == 0)
        #expect(try records().records.last?.kind == .end)
    }

    @Test func aDeviceThatIsKilledLeavesAFile() throws {
        let device = try RunningDevice("exerciser", in: scratch)
        let recorder = try record(device.socket, file)
        let client = try Client(path: device.socket)
        for _ in 0..<1000 { try client.write(UInt32(7), region: 0, offset: 4) }
        device.kill()
        let outcome = try recorder.end()
        #expect(outcome.status == 0)
        #expect(outcome.errors.contains("has gone before"), "\(outcome.errors)")
        let recorded = try records()
        #expect(!recorded.isCutOff)
        // The last one may not have been over.
        #expect(accesses(recorded.records).count { $0.kind.event == .write } >= 999)
    }

    @Test(.enabled(if: geteuid() == 0, "Only root can make a small file system."))
    func aFullDiskEndsTheRecordingAlone() throws {
        let device = try RunningDevice("exerciser", in: scratch)
        let disk = scratch.path("disk")
        try FileManager.default.createDirectory(atPath: disk, withIntermediateDirectories: false)
        try #require(mount("tmpfs", disk, "tmpfs", 0, "size=128k") == 0)
        defer { umount2(disk, Int32(MNT_DETACH)) }
        let recorder = try record(device.socket, "\(disk)/recording")
        let client = try Client(path: device.socket)
        while recorder.isRunning { try client.write(UInt32(7), region: 0, offset: 4) }
        let outcome = try recorder.end()
        #expect(outcome.status == 74, "\(outcome.errors)")
        #expect(outcome.errors.contains("has ended: No space left on device"), "\(outcome.errors)")
        #expect(try client.read(region: 0, offset: 4, count: 4) == [7, 0, 0, 0])
        let recorded = try records("\(disk)/recording")
        #expect(!recorded.isCutOff)
        #expect(accesses(recorded.records).count > 100)
    }

    // MARK: Wrong ways

    @Test func theDissectorIsPrinted() throws {
        let outcome = try Command.run("record", "--dissector")
        #expect(outcome.status == 0)
        let script = Repository.file("Sources/Tools/Recording/Dissector/vfio_user.lua")
        #expect(try outcome.output == String(contentsOf: script, encoding: .utf8))
    }

    @Test(
        arguments: [
            ([], "Name the device's socket"), (["SOCKET"], "Name the device's socket"),
            (["SOCKET", "FILE", "--count", "0"], "must be 1 or more"),
            (["SOCKET", "FILE", "--seconds", "0"], "must be from 0.001"),
            (["SOCKET", "--dissector"], "needs nothing else"),
            (["00000000-0000-4000-8000-000000000000", "FILE", "--control", "x"], "not with a UUID"),
        ] as [([String], String)])
    func aWrongCommandLineIsRefused(arguments: [String], sentence: String) throws {
        let outcome = try Command.run(["record"] + arguments)
        #expect(outcome.status == 64)
        #expect(outcome.errors.contains(sentence), "\(outcome.errors)")
    }

    @Test func whatCannotBeRecordedIsSaid() throws {
        let nobody = try Command.run("record", scratch.path("nothing"), file)
        #expect(nobody.status == 66, "\(nobody.errors)")
        #expect(!FileManager.default.fileExists(atPath: file))
        let device = try RunningDevice("exerciser", in: scratch)
        _ = try scratch.write("mine", to: "recording.pcapng")
        let there = try Command.run("record", device.socket, file)
        #expect(there.status == 73)
        #expect(there.errors.contains("is there already: choose another name, or say --replace."))
        #expect(try String(contentsOfFile: file, encoding: .utf8) == "mine")
        #expect(try Command.run("record", device.socket, scratch.path("no/folder")).status == 73)
        #expect(try Command.run("record", device.socket, scratch.url.path, "--replace").status == 73)
        let first = try record(device.socket, scratch.path("first"))
        let second = try Command.run("record", device.socket, scratch.path("second"))
        #expect(second.status != 0)
        #expect(second.errors.contains("records the device already"), "\(second.errors)")
        #expect(!FileManager.default.fileExists(atPath: scratch.path("second")))
        first.interrupt()
        #expect(try first.end().status == 0)
    }
}
