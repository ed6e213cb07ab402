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
    private static let memoryTolerance = 16 << 20
    private static let neighboursMemoryTolerance = 1 << 20

    /// How often the neighbour's client must be answered for its times to say something.
    private static let roundTrips = 2000
    /// By what factor its times may exceed those beside an ordinary client. The machine may be busy with other things.
    private static let slowdown = 10.0

    /// For how long random messages are sent.
    private static var seconds: Int { Int(ProcessInfo.processInfo.environment["NEIGHBOUR_SECONDS"] ?? "") ?? 5 }

    @Test(arguments: Attack.all)
    func anAttackHarmsNobodyElseAndLeavesNothingBehind(_ attack: Attack) throws {
        let seed = UInt64.random(in: 0 ... .max)
        try measure(attack.name) { gpu in try attack.run(on: gpu, seed: seed) }
    }

    @Test func randomMessagesHarmNobodyElse() throws {
        let seed = UInt64.random(in: 0 ... .max)
        var random = SplitMix(seed: seed)
        try measure("random messages, seed \(seed)") { gpu in
            let deadline = Deadline(after: .seconds(Self.seconds))
            while !deadline.hasPassed { try sendRandomMessages(to: gpu, &random) }
        }
    }

    /// Attacks one process, and looks at both before and after.
    private func measure(_ name: String, _ attack: (VirtualGPU) throws -> Void) throws {
        let (attacked, neighbour) = (try VirtualGPU(), try VirtualGPU())
        let steady = try SteadyClient(of: neighbour)
        defer { steady.stop() }
        // Whatever the first client makes a process begin is there from then on.
        try use(attacked, beside: steady)
        let before = (attacked: try attacked.usage(), neighbour: try neighbour.usage())
        var row: Row
        var attempts = 0
        repeat {
            let ordinary = try observe(steady) { try use(attacked, beside: steady) }
            let owner = try Owner(of: attacked)
            let hostile = try observe(steady) {
                let end = steady.roundTrips + Self.roundTrips
                repeat { try attack(attacked) } while steady.roundTrips < end
            }
            let (answers, unanswered) = owner.stop()
            #expect(unanswered == nil)
            #expect(answers > 0)
            try use(attacked, beside: steady)
            row = Row(
                name: name, before: before.attacked, after: try attacked.usage(), answers: answers, ordinary: ordinary,
                hostile: hostile)
            row.print()
            attempts += 1
            // A machine that does other things as well slows down one attempt; an attack that harms, each.
        } while row.slowdown > Self.slowdown && attempts < 3
        let after = (attacked: row.after, neighbour: try neighbour.usage())

        #expect(row.slowdown <= Self.slowdown)
        #expect(steady.takeReport().failure == nil)
        #expect(attacked.isRunning)
        #expect(after.attacked.descriptors == before.attacked.descriptors)
        #expect(after.attacked.threads == before.attacked.threads)
        #expect(after.attacked.maps <= before.attacked.maps + 16)
        #expect(after.attacked.memory <= before.attacked.memory + Self.memoryTolerance)
        #expect(after.neighbour.descriptors == before.neighbour.descriptors)
        #expect(after.neighbour.threads == before.neighbour.threads)
        #expect(after.neighbour.memory <= before.neighbour.memory + Self.neighboursMemoryTolerance)
    }

    /// Has an ordinary client and owner use a process for a while; what the neighbour feels of them is the measure for
    /// what it may feel of an attack.
    private func use(_ gpu: VirtualGPU, beside steady: SteadyClient) throws {
        let (client, owner) = (try SteadyClient(of: gpu), try Owner(of: gpu))
        defer { _ = owner.stop() }
        for each in [client, steady] { try awaitProgress(of: each) }
        client.stop()
        _ = owner.stop()
        #expect(client.takeReport().failure == nil)
        try gpu.awaitRest()
    }

    /// What a neighbour's client has seen while something was done.
    private func observe(_ steady: SteadyClient, _ body: () throws -> Void) rethrows -> SteadyClient.Report {
        _ = steady.takeReport()
        try body()
        return steady.takeReport()
    }

    private func awaitProgress(of steady: SteadyClient) throws {
        let deadline = Deadline(after: .seconds(10))
        let end = steady.roundTrips + Self.roundTrips
        while steady.roundTrips < end {
            guard !deadline.hasPassed else { throw Failure("A client makes no progress.") }
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
                while try client.socket.waitReadable(within: .zero) {
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
