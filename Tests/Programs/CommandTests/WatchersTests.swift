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

        var hasBegun: Bool {
            var status = stat()
            return stat(path, &status) == 0 && status.st_size > 0
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

    @Test func nothingIsLostWithoutACountAndTheDeviceAnswersAll() throws {
        let device = try RunningDevice("exerciser", in: scratch)
        var busy = BusyClient(client: try Client(path: device.socket))
        let file = scratch.path("recording.pcapng")
        let recorder = try Watching(["record", device.socket, file], until: "is recorded in")
        let awake = try Trace(device, into: scratch.path("awake"))
        let stopped = try Trace(device, into: scratch.path("stopped"))
        while !awake.hasBegun || !stopped.hasBegun { try busy.go() }
        stopped.signal(SIGSTOP)
        let before = busy.last
        while busy.last < before + Self.many { try busy.go() }
        stopped.signal(SIGCONT)
        #expect(try seen(awake.end(), upTo: busy.last) < 2 * Int(busy.last))
        #expect(try seen(stopped.end(), upTo: busy.last) > 0)
        recorder.interrupt()
        let outcome = try recorder.end()
        #expect(outcome.status == 0, "\(outcome.errors)")
        try checkRecording(file, upTo: busy.last)
    }

    /// Each line has the number behind that of the one before and of what was missed, and the last one is of the last
    /// access.
    ///
    /// - Returns: how many were missed.
    private func seen(_ lines: [JSON], upTo last: UInt32) throws -> Int {
        var next: Int?
        var missed = 0
        var value: String?
        for line in lines {
            if let count = line["missed"]?.int {
                missed += count
                next = next.map { $0 + count }
            } else {
                let number = try #require(line["number"]?.int)
                try #require(next == nil || next == number)
                next = number + 1
                value = line["event"] == "read" ? line["value"]?.string : value
            }
        }
        #expect(value == "0x" + String(last, radix: 16))
        return missed
    }

    /// It has each number that was written since it began, but for what its gaps tell of.
    private func checkRecording(_ path: String, upTo last: UInt32) throws {
        let reader = try RecordingReader(path: path)
        var next: UInt64?
        var lost: UInt64 = 0
        var written: UInt64 = 0
        while let record = try reader.next() {
            if record.kind == .gap { lost += record.count }
            guard record.kind.event == .write else { continue }
            if lost == 0 { try #require(next == nil || next == record.value) }
            if let next { try #require(record.value >= next && record.value - next <= lost) }
            (next, written) = (record.value + 1, record.value)
        }
        #expect(written == last || lost > 0)
        #expect(written > 0)
    }
}
