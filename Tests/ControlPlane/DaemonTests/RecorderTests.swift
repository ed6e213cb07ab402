import FakeGuest
import Glibc
import JSON
import Linux
import RunningDaemon
import Tap
import Testing
import VFIOUserClient

extension DaemonTests {
    /// The flight recorder: what a device process was about when it died is seen afterwards.
    @Suite struct RecorderTests {
        let daemon: RunningDaemon

        init() throws { daemon = try RunningDaemon() }

        /// What is recorded. The daemon asks for it when the process serves, beside all else, and nobody tells when it
        /// has it.
        private func recorder(_ id: String, of whose: String) throws -> [Event] {
            let deadline = Deadline(after: .seconds(30))
            var answer: HTTPExchange
            repeat {
                answer = try daemon.request("GET", "/v1/vgpus/\(id)/recorder?of=\(whose)")
            } while answer.status == 404 && !deadline.hasPassed
            try #require(answer.status == 200, "\(answer)")
            #expect(answer.headers["content-type"] == "application/octet-stream")
            // More than a socket has room for: it comes whole all the same.
            #expect(answer.body.count == 4096 + EventRecorder.standardCapacity * 64)
            let reader = try EventReader(copyOf: answer.body)
            return reader.read(upTo: .max) + reader.readUnfinished()
        }

        private func scratchWrites(_ events: [Event]) -> [UInt64] {
            events.filter { $0.kind == .write && $0.region == 0 && $0.offset == 4 }.map(\.value)
        }

        @Test func whatAProcessDidBeforeItDiedIsKept() throws {
            let id = try daemon.define("exerciser", ("transient", true))
            let pid = Int32(try #require(try daemon.vgpu(id)["pid"]?.int))
            do {
                let client = try Client(path: try #require(try daemon.vgpu(id)["socket"]?.string))
                for value in [1, 2, 3] as [UInt32] { try client.write(value, region: 0, offset: 4) }
                // Answered, so all before is carried out.
                #expect(try client.read(region: 0, offset: 4, count: 4) == [3, 0, 0, 0])
            }
            #expect(try scratchWrites(recorder(id, of: "running")) == [1, 2, 3])
            #expect(try daemon.request("GET", "/v1/vgpus/\(id)/recorder?of=dead").status == 404)

            kill(pid, SIGKILL)
            let died = try daemon.event("died", of: id)
            _ = try daemon.event("started", of: id, after: try #require(died["number"]?.int))
            #expect(try daemon.settledVGPUs().count == 1)
            #expect(try scratchWrites(recorder(id, of: "dead")) == [1, 2, 3])
            #expect(try scratchWrites(recorder(id, of: "running")).isEmpty)
        }

        @Test func aNewDaemonHasTheRecordersOfWhatItAdopts() throws {
            let id = try daemon.define("exerciser", ("transient", true))
            let client = try Client(path: try #require(try daemon.vgpu(id)["socket"]?.string))
            try client.write(UInt32(7), region: 0, offset: 4)
            #expect(try client.read(region: 0, offset: 4, count: 4) == [7, 0, 0, 0])
            daemon.kill(SIGKILL)
            try daemon.start()
            #expect(try scratchWrites(recorder(id, of: "running")) == [7])
        }

        @Test func aDaemonThatIsToldToKeepsNone() throws {
            let daemon = try RunningDaemon(by: ["mediated-daemon", "--no-recorder"], types: nil, isStarted: true)
            let id = try daemon.define("exerciser", ("transient", true))
            let answer = try daemon.request("GET", "/v1/vgpus/\(id)/recorder")
            #expect(answer.status == 404)
            #expect(answer.detail == "The device process of the vGPU \(id) records nothing.")
        }

        @Test func whereNothingIsRecordedThatIsSaid() throws {
            let id = try daemon.define()
            let answer = try daemon.request("GET", "/v1/vgpus/\(id)/recorder")
            #expect(answer.status == 404)
            #expect(answer.detail == "The vGPU \(id) doesn't run.")
            let wrong = try daemon.request("GET", "/v1/vgpus/\(id)/recorder?of=both")
            #expect(wrong.status == 400)
            #expect(wrong.detail == "'of' is 'both' but must be running or dead.")
            try daemon.request("POST", "/v1/vgpus/\(id)/start")
            _ = try recorder(id, of: "running")
            try daemon.request("POST", "/v1/vgpus/\(id)/stop")
            #expect(try daemon.request("GET", "/v1/vgpus/\(id)/recorder").status == 404)
        }
    }
}
