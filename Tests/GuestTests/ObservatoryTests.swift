import Control
import Device
import Foundation
import JSON
import Lab
import Linux
import Programs
import Recording
import Replay
import Synchronization
import Tap
import Testing

extension GuestTests {
    /// A guest boots while all look at once: `mediated trace`, one who records, and the flight recorder.
    @Suite(.serialized) struct ObservatoryTests {
        @Test(arguments: ["bochs-display", "virtio-gpu"])
        func allWhoLookSeeTheSame(type: String) throws {
            let device = try VirtualDevice(type, options: ["resolution=640x480"], arguments: ["--recorder"])
            let file = device.path("recording.pcapng")
            let recorder = try Recorder(ControlClient.path(besides: device.socket), to: file)
            let trace = try Trace(device)
            let machine = try Machine(devices: [device.argument()], boot: Lab.boot("6.12"))
            try machine.awaitReady()
            #expect(try machine.run("fbpattern --mode 640x480").status == 0)
            try device.expectPattern(width: 640, height: 480)
            machine.end()
            try device.awaitClientLeft()
            let traced = try trace.end()
            let kept = try EventReader(copyOf: device.control.recorder().bytes())
            let flight = kept.read(upTo: .max).compactMap(Access.init)
            try recorder.end()

            let recorded = try self.accesses(recordedIn: file)
            let counted = try device.accessCount()
            #expect(counted > 200)
            #expect(recorded.count == counted)
            // A trace waits for nobody, and tells what it has missed.
            #expect(traced.accesses + traced.missed >= counted, "\(traced)")
            #expect(traced.missed > 0 || traced.accesses == counted, "\(traced)")
            #expect(!flight.isEmpty && Array(recorded.suffix(flight.count)) == flight)

            let reader = try RecordingReader(path: file)
            let outcome = try Replay { try reader.next() }.run()
            #expect(outcome.isComplete && outcome.gaps == 0 && outcome.pictures == 1)
            #expect(outcome.divergence == nil, "\(String(describing: outcome.divergence))")

            guard Tshark.isThere else { return }
            let shown = try Tshark.fields(file, ["number"], filter: "vfio_user.kind == 1 || vfio_user.kind == 2")
            #expect(shown.count == counted)
            #expect(try Tshark.malformed(file).isEmpty)
        }

        /// One access, as a recording and the flight recorder have it.
        struct Access: Equatable {
            let kind: Event.Kind
            let region: UInt8
            let offset: UInt64
            let value: UInt64

            init?(_ event: Event) {
                guard event.kind == .read || event.kind == .write else { return nil }
                (kind, region, offset, value) = (event.kind, event.region, event.offset, event.value)
            }
        }

        private func accesses(recordedIn path: String) throws -> [Access] {
            let reader = try RecordingReader(path: path)
            var accesses: [Access] = []
            while let record = try reader.next() {
                if record.partOffset == 0, let access = record.event.flatMap(Access.init) { accesses.append(access) }
            }
            return accesses
        }

        /// `mediated trace`, whose lines are counted as they come.
        private final class Trace {
            private let process = Process()
            private let counter = Counter()

            /// Begins before anything else is done with the device.
            init(_ device: VirtualDevice) throws {
                let output = Pipe()
                process.executableURL = try Program.folder.appendingPathComponent("mediated")
                process.arguments = ["trace", device.socket]
                process.standardOutput = output
                try process.run()
                // The heading comes when it watches.
                try output.read(until: "MEANING\n")
                try counter.start(output.fileHandleForReading)
            }

            deinit {
                if process.isRunning { process.terminate() }
            }

            func end() throws -> (accesses: Int, missed: Int) {
                process.interrupt()
                process.waitUntilExit()
                #expect(process.terminationStatus == 0)
                return counter.end()
            }
        }

        /// Counts the lines of a trace, on a thread of its own: a pipe that nobody reads would stop it.
        private final class Counter: Sendable {
            private let counts = Mutex<(accesses: Int, missed: Int)>((0, 0))
            private let thread = Mutex<Linux.Thread?>(nil)

            func start(_ output: FileHandle) throws {
                let started = try Linux.Thread(name: "counter") { [self] in
                    var rest = Data()
                    while case let more = output.availableData, !more.isEmpty {
                        rest += more
                        let end = rest.lastIndex(of: UInt8(ascii: "\n")).map { $0 + 1 } ?? rest.startIndex
                        count(String(decoding: rest[..<end], as: UTF8.self))
                        rest = Data(rest[end...])
                    }
                }
                thread.withLock { $0 = started }
            }

            private func count(_ lines: String) {
                for line in lines.split(separator: "\n") {
                    let words = line.split(separator: " ", maxSplits: 2)
                    guard words.count > 2 else { continue }
                    counts.withLock {
                        if words[0] == "…" { $0.missed += Int(words[1]) ?? 0 }
                        if words[1] == "read" || words[1] == "write" { $0.accesses += 1 }
                    }
                }
            }

            func end() -> (accesses: Int, missed: Int) {
                thread.withLock { $0.take() }?.join()
                return counts.withLock { $0 }
            }
        }
    }
}

extension VirtualDevice {
    /// How many accesses its statistics have.
    fileprivate func accessCount() throws -> Int {
        let statistics = try control.statistics()
        return try ["reads", "writes"].reduce(0) { sum, name in
            try sum + #require(statistics[name]?.object).reduce(0) { $0 + ($1.value.int ?? 0) }
        }
    }
}
