import Foundation
import JSON
import Programs
import Synchronization
import Testing
import VFIOUserClient

/// `mediated trace`
@Suite struct TraceCommandTests {
    let scratch: Scratch

    init() throws {
        scratch = try Scratch()
    }

    /// `mediated trace` beside a guest.
    private final class Trace {
        private let process = Process()
        private let output = Pipe()
        private let errors = Pipe()
        private(set) var text = ""

        init(_ arguments: String...) throws {
            process.executableURL = try Program.folder.appendingPathComponent("mediated")
            process.arguments = ["trace"] + arguments
            (process.standardOutput, process.standardError) = (output, errors)
            try process.run()
        }

        deinit {
            if process.isRunning { process.terminate() }
        }

        func wait(for words: String) throws {
            while !text.contains(words) {
                let more = output.fileHandleForReading.availableData
                try #require(!more.isEmpty, "It ended: \(text)")
                text += String(decoding: more, as: UTF8.self)
            }
        }

        /// Waits for its end.
        ///
        /// - Returns: its status, and what it has said.
        func end() throws -> (status: Int32, output: String, errors: String) {
            text += String(decoding: try output.fileHandleForReading.readToEnd() ?? Data(), as: UTF8.self)
            let said = String(decoding: try errors.fileHandleForReading.readToEnd() ?? Data(), as: UTF8.self)
            process.waitUntilExit()
            return (process.terminationStatus, text, said)
        }

        func interrupt() { process.interrupt() }
    }

    /// Does the same again and again, on a thread of its own: a trace begins at any moment of it.
    private final class BusyGuest: Sendable {
        private let isOver = Atomic<Bool>(false)

        init(_ device: RunningDevice, _ work: @escaping @Sendable (Client) throws -> Void) throws {
            let path = device.socket
            let thread = Thread { [self] in
                guard let client = try? Client(path: path) else { return }
                while !isOver.load(ordering: .relaxed), (try? work(client)) != nil {}
            }
            thread.start()
        }

        func stop() { isOver.store(true, ordering: .relaxed) }
    }

    @Test func accessesAreShownWithTheirRegistersAsTheyHappen() throws {
        let device = try RunningDevice("exerciser", in: scratch)
        let trace = try Trace(device.socket)
        try trace.wait(for: "EVENT")
        let client = try Client(path: device.socket)
        try client.write(UInt32(0x5eed), region: 0, offset: 4)
        try trace.wait(for: "scratch")
        trace.interrupt()
        let outcome = try trace.end()
        #expect(outcome.status == 0)
        let line = try #require(outcome.output.split(separator: "\n").first { $0.contains("scratch") })
        #expect(
            line.contains(
                #/^\d\d:\d\d:\d\d\.\d{9}  write +bar0\+0x4 scratch +0x00005eed +(ring|message) +\S+ [nµm]?s$/#),
            "\(line)")
        #expect(outcome.errors.contains("BAR 2 from 0x1000 to 0x10fff can't be seen"), "\(outcome.errors)")
    }

    @Test func aFilterAndACountEndIt() throws {
        let device = try RunningDevice("exerciser", in: scratch)
        let trace = try Trace(device.socket, "--only", "write register=scratch", "--count", "2", "--json")
        let guest = try BusyGuest(device) { client in
            try client.write(UInt32(7), region: 0, offset: 4)
            _ = try client.read(region: 0, offset: 8, count: 8)
        }
        let outcome = try trace.end()
        guest.stop()
        #expect(outcome.status == 0)
        let lines = try outcome.output.split(separator: "\n").map { try JSON(parsing: String($0)) }
        #expect(lines.count == 2)
        for line in lines {
            #expect(line["event"] == "write")
            #expect(line["register"] == "scratch")
            #expect(line["value"] == "0x7")
            #expect(line["way"] == "ring")
        }
    }

    @Test func aSummaryTellsWhatIsHot() throws {
        let device = try RunningDevice("exerciser", in: scratch)
        let trace = try Trace(device.socket, "--summary", "--only", "read bar=0", "--count", "50")
        let guest = try BusyGuest(device) { client in _ = try client.read(region: 0, offset: 0, count: 4) }
        let outcome = try trace.end()
        guest.stop()
        #expect(outcome.status == 0)
        #expect(outcome.output.contains("50 events in "), "\(outcome.output)")
        #expect(outcome.output.contains(#/read bar0\+0x0 identification +50 /#), "\(outcome.output)")
    }

    @Test func whatWasRecordedBeforeIsShown() throws {
        let device = try RunningDevice("exerciser", in: scratch)
        do {
            let client = try Client(path: device.socket)
            try client.write(UInt32(0x5eed), region: 0, offset: 4)
            _ = try client.read(region: 0, offset: 4, count: 4)
        }
        let outcome = try Command.run("trace", device.socket, "--recorded", "--only", "register=scratch")
        #expect(outcome.status == 0)
        let lines = outcome.output.split(separator: "\n").dropFirst()
        #expect(
            lines.map { $0.split(separator: " ")[1...4].joined(separator: " ") } == [
                "write bar0+0x4 scratch 0x00005eed", "read bar0+0x4 scratch 0x00005eed",
            ])
        let without = try RunningDevice("exerciser", "--no-recorder", in: scratch, socket: "without")
        _ = try Client(path: without.socket)
        let nothing = try Command.run("trace", without.socket, "--recorded")
        #expect(nothing.status == 69)
        #expect(nothing.errors.contains("keeps no events"), "\(nothing.errors)")
    }

    @Test func itEndsWithTheDevice() throws {
        let device = try RunningDevice("exerciser", in: scratch)
        let trace = try Trace(device.socket)
        try trace.wait(for: "EVENT")
        #expect(try Command.run("stop", device.socket).status == 0)
        #expect(try trace.end().status == 0)
    }

    @Test func whatIsWrongIsSaid() throws {
        let nobody = scratch.path("nobody")
        #expect(try Command.run("trace", nobody).status == Command.run("info", nobody).status)
        let filter = try Command.run("trace", nobody, "--only", "read bra=1")
        #expect(filter.status == 64)
        #expect(
            filter.errors.contains(
                "'bra' is nothing to filter by; it can be bar, offset, register, value, way, queue, command, name, "
                    + "vector, address."))
        #expect(filter.errors.contains("read bra=1\n       ^"), "\(filter.errors)")
        let never = try Command.run("trace", nobody, "--only", "read queue=0")
        #expect(never.status == 64)
        #expect(
            never.errors.contains("'queue=0' never fits read; what can stand there is bar, offset"), "\(never.errors)")
        for wrong in [
            ["--count", "0"], ["--seconds", "0"], ["--json", "--summary"], ["--recorded", "--seconds", "1"],
        ] {
            #expect(try Command.run(["trace", nobody] + wrong).status == 64, "\(wrong)")
        }
    }
}
