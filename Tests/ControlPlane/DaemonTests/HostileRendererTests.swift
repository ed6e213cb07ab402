import FakeDriver
import Glibc
import JSON
import Linux
import RunningDaemon
import SeededRandom
import Synchronization
import Testing

extension DaemonTests {
    /// A guest that has its renderer do what no driver would ask.
    @Suite struct HostileRendererTests {
        let daemon: RunningDaemon

        init() throws { daemon = try RunningDaemon() }

        @Test(arguments: 1...3 as ClosedRange<UInt64>)
        func whateverAGuestHasRenderedNobodyElseIsHarmed(seed: UInt64) throws {
            let (attacked, neighbour) = (try daemon.startRenderingVGPU(), try daemon.startRenderingVGPU())
            let bystander = try Bystander(neighbour, daemon.socket)
            let before = (
                try daemon.vgpu(attacked.id), try daemon.vgpu(neighbour.id), try daemon.renderer(of: neighbour.id)
            )

            let answers = try attack(attacked, seed: seed)
            #expect(answers.count == GPUCommand.allCases.count, "each command was sent")
            #expect(answers[.submit3D]?.contains(RenderingGuest.done) == true, "some streams are right")
            #expect(
                answers[.submit3D]?.contains(RenderingGuest.invalidContext) == true, "some had no renderer any more")

            let (rounds, failure) = bystander.stop()
            #expect(failure == nil)
            #expect(rounds > 10, "the neighbour has drawn meanwhile")
            #expect(try daemon.renderer(of: neighbour.id) == before.2)
            for (id, earlier) in [(attacked.id, before.0), (neighbour.id, before.1)] {
                let now = try daemon.vgpu(id)
                #expect(now["state"] == "running" && now["pid"] == earlier["pid"] && now["restarts"] == 0)
            }
            try awaitDrawing(attacked.socket)
        }

        /// Sends requests of all kinds, each of which must be answered.
        ///
        /// - Returns: the types of the responses.
        private func attack(_ vgpu: (id: String, socket: String), seed: UInt64) throws -> [GPUCommand: Set<UInt32>] {
            let guest = try RenderingGuest(socket: vgpu.socket)
            var requests = RandomGPURequests(SplitMix(seed: seed), memory: guest.memory)
            var answers: [GPUCommand: Set<UInt32>] = [:]
            for number in 0..<1000 {
                // Whatever the streams do to it, it dies once: with something in hand.
                if number == 500, let renderer = try daemon.renderer(of: vgpu.id) {
                    kill(renderer, SIGSTOP)
                    #expect(try guest.submit(red: true) { kill(renderer, SIGKILL) } >= 0x1200)
                }
                for (command, bytes) in number % 50 == 0 ? requests.scenery() : [requests.next()] {
                    let type = try guest.send(command, bytes)
                    #expect((0x1100...0x1105).contains(type) || (0x1200...0x1205).contains(type), "\(command)")
                    answers[command, default: []].insert(type)
                }
            }
            #expect(try !guest.needsReset)
            return answers
        }

        /// Waits until a driver that starts anew finds a renderer: the more often one has ended, the later comes the
        /// next.
        private func awaitDrawing(_ socket: String) throws {
            let deadline = Deadline(after: .seconds(180))
            while true {
                if let guest = try? RenderingGuest(socket: socket), try guest.setUp(), try guest.draw(red: true) {
                    return
                }
                try #require(!deadline.hasPassed, "No renderer has taken the place of the last one.")
                _ = try? waitReadable([], within: .milliseconds(20))
            }
        }
    }

    /// Somebody else: a guest at a vGPU of its own, which draws and looks at what it has drawn, and whoever asks the
    /// daemon.
    private final class Bystander: Sendable {
        private let isStopped = Atomic<Bool>(false)
        private let rounds = Atomic<Int>(0)
        private let failure = Mutex<String?>(nil)
        private let thread = Mutex<Thread?>(nil)

        init(_ vgpu: (id: String, socket: String), _ daemon: String) throws {
            let started = try Thread(name: "bystander") { [self] in
                do { try run(vgpu, daemon) } catch { failure.withLock { $0 = "\(error)" } }
            }
            thread.withLock { $0 = started }
        }

        private func run(_ vgpu: (id: String, socket: String), _ daemon: String) throws {
            let guest = try RenderingGuest(socket: vgpu.socket)
            try #require(try guest.setUp())
            while !isStopped.load(ordering: .relaxed) {
                try #require(try guest.draw(red: rounds.load(ordering: .relaxed) % 2 == 0))
                let answer = try HTTPExchange("GET", "/v1/vgpus/\(vgpu.id)", over: daemon)
                try #require(answer.status == 200 && answer.json["state"] == "running", "\(answer)")
                rounds.add(1, ordering: .relaxed)
            }
        }

        /// - Returns: how often all was well, and what was not at last.
        func stop() -> (rounds: Int, failure: String?) {
            isStopped.store(true, ordering: .relaxed)
            thread.withLock { $0.take() }?.join()
            return (rounds.load(ordering: .relaxed), failure.withLock { $0 })
        }
    }
}
