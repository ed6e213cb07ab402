import FakeGuest
import Foundation
import Glibc
import JSON
import Linux
import Programs
import RunningDaemon
import Testing
import VFIOUserClient

extension DaemonTests {
    /// What outlives the daemon, and what it makes of what it finds.
    @Suite struct SurvivalTests {
        let daemon: RunningDaemon

        init() throws { daemon = try RunningDaemon() }

        @Test(arguments: [SIGKILL, SIGTERM])
        func aNewDaemonAdoptsWhatRunsAndItsClientNoticesNothing(signal: Int32) throws {
            let id = try daemon.define("exerciser")
            let started = try daemon.request("POST", "/v1/vgpus/\(id)/start").json
            let client = try Client(path: try #require(started["socket"]?.string))
            let before = try client.read(region: 0, offset: 0, count: 4)

            daemon.kill(signal)
            #expect(try client.read(region: 0, offset: 0, count: 4) == before)
            try daemon.start()

            let now = try daemon.vgpu(id)
            #expect(now["state"] == "running" && now["pid"] == started["pid"] && now["restarts"] == 0)
            #expect(try client.read(region: 0, offset: 0, count: 4) == before)
            #expect(try daemon.request("GET", "/v1/vgpus/\(id)/info").json["clientConnected"] == true)
            _ = try daemon.event("adopted", of: id)
        }

        @Test func whatADeviceProcessWritesWithoutADaemonIsInTheLog() throws {
            let id = try daemon.define("exerciser", ("transient", true))
            let socket = try #require(try daemon.vgpu(id)["socket"]?.string)
            func lines(_ words: String) throws -> Int {
                let lines = try daemon.request("GET", "/v1/vgpus/\(id)/log").json["lines"]?.array ?? []
                return lines.count { $0.string?.contains(words) == true }
            }
            #expect(try lines("Serving") == 1)
            daemon.kill(SIGKILL)
            do { _ = try Client(path: socket) }
            try daemon.start()
            _ = try daemon.event("client-left", of: id)
            #expect(try lines("Serving") == 1)
            #expect(try lines("session ended") == 1)
        }

        @Test func aDeviceProcessThatDiesIsReplacedAndTold() throws {
            let id = try daemon.define("exerciser", ("transient", true))
            let pid = try #require(try daemon.vgpu(id)["pid"]?.int)
            kill(Int32(pid), SIGKILL)
            let died = try daemon.event("died", of: id)
            #expect(died["message"]?.string?.contains("\(pid)") == true)
            _ = try daemon.event("started", of: id, after: try #require(died["number"]?.int))
            let now = try daemon.vgpu(id)
            #expect(now["restarts"] == 1 && now["pid"]?.int != pid)
        }

        @Test func whatDiesWhileThereIsNoDaemonIsReplacedByTheNext() throws {
            let id = try daemon.define("exerciser", ("transient", true))
            let pid = Int32(try #require(try daemon.vgpu(id)["pid"]?.int))
            daemon.kill(SIGKILL)
            kill(pid, SIGKILL)
            try daemon.start()
            let died = try daemon.event("died", of: id)
            _ = try daemon.event("started", of: id, after: try #require(died["number"]?.int))
            let now = try daemon.vgpu(id)
            #expect(now["state"] == "running" && now["pid"]?.int != Int(pid))
        }

        @Test func aSecondDaemonIsSentAway() throws {
            let log = "\(daemon.root)/second"
            let output = open(log, O_WRONLY | O_CREAT | O_CLOEXEC, 0o600)
            defer { close(output) }
            let second = try ChildProcess.spawn(
                Program.folder.appendingPathComponent("mediated-daemon").path, ["--root", daemon.root], passing: [],
                standardError: output)
            var status: Int32 = 0
            waitpid(second, &status, 0)
            #expect(status != 0)
            let words = try String(contentsOfFile: log, encoding: .utf8)
            #expect(words.contains("Another daemon has the database"), "\(words)")
            #expect(try daemon.request("GET", "/v1/status").json["pid"]?.int == Int(daemon.process))
        }

        @Test func aWrongLineInTheTypesIsNamed() throws {
            daemon.kill(SIGTERM)
            try daemon.setTypes("types:\n  - name: small\n    device: bochs-display\n    vram: lots\n")
            try daemon.launch()
            var status: Int32 = 0
            waitpid(daemon.process, &status, 0)
            #expect(status != 0)
            #expect(daemon.log.contains("types.yaml:4:"), "\(daemon.log)")
            #expect(daemon.log.contains("'lots'"))
        }

        /// They are watched by one, which waits for none of them.
        @Test func noThreadBelongsToAVGPU() throws {
            // Those that have something to do are gone when it is done, and those of tasks are never more than
            // processors.
            func lasting() throws -> [String] {
                try daemon.threads.filter { !["blocking", "close"].contains($0) && !$0.contains("qos") }.sorted()
            }
            _ = try daemon.define("exerciser", ("transient", true))
            let one = try lasting()
            for _ in 0..<7 { _ = try daemon.define("exerciser", ("transient", true)) }
            #expect(try daemon.knownProcesses().count == 8)
            #expect(try lasting() == one)
            for name in ["logs", "processes", "store"] { #expect(one.count { $0 == name } == 1, "\(one)") }
        }

        /// Whatever moment it is killed in: what it has acknowledged is there, what it has not is there whole or not at
        /// all, and nothing runs that it doesn't know.
        @Test func aDaemonKilledAtAnyMomentLosesNothingAndLeavesNothingHalf() throws {
            var known: [String: Writer.Expected] = [:]
            for _ in 0..<200 {
                let writer = try Writer(daemon.socket, known)
                // Any moment of what the writer does, each of which takes some milliseconds.
                _ = try? waitReadable([], within: .milliseconds(Int.random(in: 0...40)))
                daemon.kill(SIGKILL)
                let told = writer.finish()
                try daemon.start()
                let vgpus = try daemon.settledVGPUs()
                let found = Dictionary(
                    uniqueKeysWithValues: vgpus.compactMap { vgpu in
                        vgpu["uuid"]?.string.map { ($0, Writer.Expected(vgpu)) }
                    })
                known = told.acknowledged
                if let open = told.open {
                    #expect([open.before, open.after].contains(found[open.id]), "\(open)")
                    known[open.id] = found[open.id]
                }
                try #require(found == known)

                // A process that was not released yet when the daemon died ends by itself, and is replaced where it was
                // known. No event tells this process of the end of another's children.
                let deadline = Deadline(after: .seconds(30))
                while try Set(RunningDaemon.deviceProcesses(below: daemon.root)) != daemon.knownProcesses() {
                    try #require(!deadline.hasPassed, "Device processes run that no vGPU has.")
                    _ = try? waitReadable([], within: .milliseconds(5))
                }
            }
        }
    }
}
