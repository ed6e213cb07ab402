import FakeGuest
import Foundation
import Glibc
import JSON
import Programs
import Recording
import Tap
import Testing
import VFIOUserClient

/// Several who watch a device that is busy, one of them stopped.
@Suite struct WatchersTests {
    let scratch: Scratch

    init() throws {
        scratch = try Scratch()
    }

    /// `mediated trace`, which prints into a file.
    private final class Trace {
        private let process = Process()
        private let path: String

        init(_ device: RunningDevice, into path: String) throws {
            self.path = path
            _ = FileManager.default.createFile(atPath: path, contents: nil)
            process.executableURL = try Program.folder.appendingPathComponent("mediated")
            process.arguments = ["trace", device.socket, "--json"]
            process.standardOutput = try FileHandle(forWritingTo: URL(fileURLWithPath: path))
            try process.run()
        }

        deinit {
            signal(SIGKILL)
        }

        /// How many bytes it has printed.
        var length: Int {
            var status = stat()
            return stat(path, &status) == 0 ? status.st_size : 0
        }

        func signal(_ signal: Int32) { kill(process.processIdentifier, signal) }

        /// Ends it.
        ///
        /// - Returns: what it has printed.
        func end() throws -> [JSON] {
            process.interrupt()
            process.waitUntilExit()
            #expect(process.terminationStatus == 0)
            return try String(contentsOfFile: path, encoding: .utf8).split(separator: "\n").map {
                try JSON(parsing: String($0))
            }
        }
    }

    /// Writes numbers that count up, and reads each of them again.
    private struct BusyClient {
        let client: Client
        private(set) var last: UInt32 = 0

        mutating func go() throws {
            last += 1
            try client.write(last, region: 0, offset: 4)
            let read = try client.read(region: 0, offset: 4, count: 4)
            try #require(read == wire(last))
        }
    }

    /// More than a recorder keeps.
    private static let many: UInt32 = 20_000
    /// What a tracer prints of some thousands of accesses, in bytes.
    private static let much = 1 << 20

    @Test func nothingIsLostWithoutACountAndTheDeviceAnswersAll() throws {
        let device = try RunningDevice("exerciser", in: scratch)
        var busy = BusyClient(client: try Client(path: device.socket))
        let file = scratch.path("recording.pcapng")
        let recorder = try Watching(["record", device.socket, file], until: "is recorded in")
        let awake = try Trace(device, into: scratch.path("awake"))
        let stopped = try Trace(device, into: scratch.path("stopped"))
        while awake.length == 0 || stopped.length == 0 { try busy.go() }
        stopped.signal(SIGSTOP)
        let (before, length) = (busy.last, awake.length)
        while busy.last < before + Self.many { try busy.go() }
        // Nothing keeps up for sure, but who is awake goes on seeing, whoever is stopped.
        while awake.length < length + Self.much, busy.last < before + 100 * Self.many { try busy.go() }
        #expect(awake.length >= length + Self.much)
        stopped.signal(SIGCONT)
        _ = try missed(awake.end(), upTo: busy.last)
        #expect(try missed(stopped.end(), upTo: busy.last) > 0)
        recorder.interrupt()
        let outcome = try recorder.end()
        #expect(outcome.status == 0, "\(outcome.errors)")
        try checkRecording(file, upTo: busy.last)
    }

    /// Each line has the number behind that of the one before and of what was missed, and the last one is of the last
    /// access. By the client's own numbers no more was missed than that.
    ///
    /// - Returns: how many were missed.
    private func missed(_ lines: [JSON], upTo last: UInt32) throws -> Int {
        var next: Int?
        var missed = 0
        var value: String?
        var before: (number: Int, access: Int)?
        for line in lines {
            if let count = line["missed"]?.int {
                missed += count
                next = next.map { $0 + count }
                continue
            }
            let number = try #require(line["number"]?.int)
            try #require(next == nil || next == number)
            next = number + 1
            let isRead = line["event"] == "read"
            guard isRead || line["event"] == "write" else { continue }
            value = line["value"]?.string
            let access = 2 * (try #require(value.flatMap { Int($0.dropFirst(2), radix: 16) })) + (isRead ? 1 : 0)
            if let before { try #require(1...number - before.number ~= access - before.access) }
            before = (number, access)
        }
        #expect(value == "0x" + String(last, radix: 16))
        return missed
    }

    /// It has each number that was written since it began, but for those that the gap between two of them tells of.
    private func checkRecording(_ path: String, upTo last: UInt32) throws {
        let reader = try RecordingReader(path: path)
        var written: UInt64?
        var lost: UInt64 = 0
        func check(_ value: UInt64) {
            guard let written else { return }
            let isTold = value > written && value - written - 1 <= lost
            #expect(isTold, "\(value) comes behind \(written), and \(lost) were lost.")
        }
        while let record = try reader.next() {
            if record.kind == .gap { lost += record.count }
            guard record.kind.event == .write else { continue }
            check(record.value)
            (written, lost) = (record.value, 0)
        }
        #expect(written != nil)
        check(UInt64(last) + 1)
    }
}
