import FakeGuest
import Foundation
import Linux
import SeededRandom
import Testing
import VFIO

/// Two device processes: whatever a client does to one of them, it does to that one alone, and not for good.
@Suite(.serialized) struct NeighbourTests {
    /// By how much the private memory of a process may have grown when an attack is over, in bytes: what the allocator
    /// keeps for the next.
    private static let memoryTolerance = 8 << 20
    private static let neighboursMemoryTolerance = 1 << 20

    /// For how long random messages are sent.
    private static var seconds: Int { Int(ProcessInfo.processInfo.environment["NEIGHBOUR_SECONDS"] ?? "") ?? 3 }

    @Test(arguments: Attack.all)
    func anAttackHarmsNobodyElseAndLeavesNothingBehind(_ attack: Attack) throws {
        let seed = UInt64.random(in: 0 ... .max)
        try measure(attack.name) { gpu in try attack.run(on: gpu, seed: seed) }
    }

    @Test func randomMessagesHarmNobodyElse() throws {
        let seed = UInt64.random(in: 0 ... .max)
        var random = SplitMix(seed: seed)
        let deadline = Deadline(milliseconds: Int32(clamping: Self.seconds * 1000))
        try measure("random messages, seed \(seed)") { gpu in
            while deadline.millisecondsLeft > 0 { try sendRandomMessages(to: gpu, &random) }
        }
    }

    init() {
        // Each row is to be seen when its attack is over.
        setvbuf(stdout, nil, _IOLBF, 0)
        Row.heading
    }

    /// Attacks one process, and looks at both before and after.
    private func measure(_ name: String, _ attack: (VirtualGPU) throws -> Void) throws {
        let (attacked, neighbour) = (try VirtualGPU(), try VirtualGPU())
        // Whatever the first client makes a process begin is there from then on.
        do { _ = try attacked.client().read(UInt32.self, at: RawClient.scratch) }
        try attacked.awaitDeparture()
        let steady = try SteadyClient(of: neighbour)
        defer { steady.stop() }
        try awaitProgress(of: steady)
        let before = (attacked: try attacked.usage(), neighbour: try neighbour.usage())
        let alone = steady.takeReport()

        let owner = try Owner(of: attacked)
        do { try attack(attacked) } catch { Issue.record("\(name): \(error)") }
        let under = steady.takeReport()
        let (answers, unanswered) = owner.stop()

        let next = try attacked.client()
        try next.write(UInt32(0x600d), at: RawClient.scratch)
        #expect(try next.read(UInt32.self, at: RawClient.scratch) == 0x600d)
        next.socket.shutDown()
        try attacked.awaitDeparture()
        try awaitProgress(of: steady)
        let after = (attacked: try attacked.usage(), neighbour: try neighbour.usage())

        print(
            Row(
                name: name, before: before.attacked, after: after.attacked, answers: answers, alone: alone, under: under
            ))
        #expect(steady.takeReport().failure == nil)
        #expect(unanswered == nil)
        #expect(answers > 0)
        #expect(attacked.isRunning)
        #expect(after.attacked.descriptors == before.attacked.descriptors)
        #expect(after.attacked.threads == before.attacked.threads)
        #expect(after.attacked.maps <= before.attacked.maps + 16)
        #expect(after.attacked.memory <= before.attacked.memory + Self.memoryTolerance)
        #expect(after.neighbour.descriptors == before.neighbour.descriptors)
        #expect(after.neighbour.threads == before.neighbour.threads)
        #expect(after.neighbour.memory <= before.neighbour.memory + Self.neighboursMemoryTolerance)
    }

    private func awaitProgress(of steady: SteadyClient) throws {
        let deadline = Deadline(milliseconds: 10_000)
        let start = steady.roundTrips
        while steady.roundTrips < start + 1000 {
            guard deadline.millisecondsLeft > 0 else { throw Failure("The neighbour makes no progress.") }
            sched_yield()
        }
    }

    /// As a fuzzer does, to one client's end.
    private func sendRandomMessages(to gpu: VirtualGPU, _ random: inout SplitMix) throws {
        let file = try MemoryFile(name: "hostile", size: 1 << 16)
        let event = try EventFD()
        do {
            let client = try gpu.client()
            for _ in 0..<256 {
                let descriptors = (0..<(random.next() % 4 == 0 ? random.next() % 3 : 0)).map { _ in
                    random.next() % 2 == 0 ? file.descriptor.raw : event.descriptor.raw
                }
                try client.send(HostileMessage.next(using: &random), descriptors: descriptors)
                while try client.socket.waitReadable(milliseconds: 0) {
                    guard let reply = try client.receive() else { return }
                    guard reply.header.type == .command, let command = Command(rawValue: reply.header.command) else {
                        continue
                    }
                    try client.send(message(command, id: reply.header.id, flags: [.reply, .error]))
                }
            }
        } catch let error as Errno where error == .brokenPipe || error == .connectionReset {
            // The process has ended this session; the next one begins.
        }
    }
}
