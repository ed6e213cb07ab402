import Foundation
import Glibc
import Lab
import Linux
import Programs
import Renderer
import Testing
import Worker

/// A real virglrenderer with its render server and Mesa's software Vulkan, in the lab's stand-in for a host that has
/// them.
@Suite(
    .serialized, .enabled(if: Bench.canHaveVenus, "no Venus in the lab (run `make lab`), or no Landlock in this kernel")
)
struct VenusRendererTests {
    private static let set: UInt32 = 4
    private static let windowSize = 4 << 20
    private static let ringSize = 8192

    private let folder: Scratch

    init() throws {
        folder = try Scratch()
    }

    private func bench(_ kinds: RendererKinds = .venus, patience: Duration = .seconds(60)) throws -> Bench {
        try Bench(
            kinds, program: try Lab.venusRenderer(in: folder), window: UInt64(Self.windowSize), patience: patience)
    }

    private func word(_ memory: MemoryFile, at offset: UInt64) -> UInt32 {
        var bytes = [UInt8](repeating: 0, count: 4)
        var span = bytes.mutableSpan
        var raw = span.mutableBytes
        memory.copy(at: Int(offset), count: 4, into: &raw)
        return bytes.reversed().reduce(0) { $0 << 8 | UInt32($1) }
    }

    /// Gives a context a ring and memory for answers, in the first pages of the window.
    private func makeRing(_ bench: Bench, context: UInt32, window: UInt32) throws {
        try bench.done(.createContext(id: context, capabilitySet: Self.set, name: Array("test".utf8)))
        for (resource, place) in [(7, 0), (8, Self.ringSize)] as [(UInt32, Int)] {
            let piece = MemoryPiece(window: window, offset: UInt64(place), size: UInt64(Self.ringSize))
            try bench.done(.importBlob(resource: resource, kind: .sharedMemory, piece: piece))
            try bench.done(.attachResource(context: context, resource: resource))
        }
        let ring = VenusStream.createRing(1, in: 7, size: UInt64(Self.ringSize))
        try bench.done(.submit(context: context, commands: ring.bytes))
    }

    /// The process of the one context that there is: the youngest, for a renderer tries one at its start.
    private func contextProcess(_ bench: Bench) throws -> Int32 {
        var found: Int32?
        let deadline = Deadline(after: .seconds(60))
        // No event tells this process of another's children.
        while found == nil, !deadline.hasPassed {
            let server = try Bench.children(of: bench.process()).first
            found = try server.flatMap { try Bench.children(of: $0).last }
        }
        return try #require(found)
    }

    @Test func theCapabilitySetSaysThatTheGuestsMemoryIsTaken() throws {
        let bench = try bench()
        let contents = try bench.done(.capabilitySet(id: Self.set, version: 0))
        #expect(contents.count >= 160 && Array(contents[156..<160]) == [1, 0, 0, 0])
        #expect(try bench.call(.capabilitySet(id: 2, version: 2))?.status == .noSuchObject)
    }

    @Test func oneRendererCanHaveBothKinds() throws {
        let bench = try bench([.virgl, .venus])
        for (id, version) in [(1, 1), (2, 2), (4, 0)] as [(UInt32, UInt32)] {
            #expect(try bench.done(.capabilitySet(id: id, version: version)).count > 100)
        }
        try bench.done(.createContext(id: 1, capabilitySet: 2, name: []))
        try bench.done(.createContext(id: 2, capabilitySet: Self.set, name: []))
        try bench.done(.contextFence(context: 1, ring: 0))
        try bench.done(.contextFence(context: 2, ring: 0))
        try bench.done(.fence)
    }

    @Test func aContextsProcessTakesCommandsFromARingInImportedMemory() throws {
        let bench = try bench()
        let (memory, window) = try bench.share(Self.windowSize)
        try makeRing(bench, context: 1, window: window)
        let stream = VenusStream.version(to: 8, size: UInt64(Self.ringSize)).bytes
        memory.replace(at: Int(VenusStream.Ring.buffer), with: stream.span.bytes)
        memory.replace(at: Int(VenusStream.Ring.tail), with: [UInt32(stream.count)].bytes.span.bytes)
        // The other side is a processor that looks at memory: no event tells.
        let deadline = Deadline(after: .seconds(60))
        while word(memory, at: VenusStream.Ring.head) != UInt32(stream.count), !deadline.hasPassed { sched_yield() }
        #expect(word(memory, at: VenusStream.Ring.head) == UInt32(stream.count))
        // The answer: the command's number, VK_SUCCESS, that there is a version, and that: 1.1 or later.
        let answer = (0..<5).map { word(memory, at: UInt64(Self.ringSize + 4 * $0)) }
        #expect(Array(answer[..<4]) == [137, 0, 1, 0])
        #expect(answer[4] >= 1 << 22 | 1 << 12)
    }

    @Test func aBlobIsMadeOfWholePagesInsideAWindowAlone() throws {
        let bench = try bench()
        let (_, window) = try bench.share(Self.windowSize)
        let size = UInt64(Self.windowSize)
        func status(_ offset: UInt64, _ size: UInt64, in window: UInt32) throws -> RendererReply.Status? {
            let piece = MemoryPiece(window: window, offset: offset, size: size)
            return try bench.call(.importBlob(resource: 7, kind: .deviceMemory, piece: piece))?.status
        }
        for (offset, size) in [(0, 1), (1, 4096), (2048, 4096)] as [(UInt64, UInt64)] {
            #expect(try status(offset, size, in: window) == .invalid)
        }
        for (offset, size) in [(size, 4096), (0, size + 4096), (.max, 4096), (4096, .max), (0, 0)] {
            #expect(try status(offset, size, in: window) == .noSuchObject)
        }
        #expect(try status(0, 4096, in: window + 1) == .noSuchObject)
        #expect(try status(size - 4096, 4096, in: window) == .done)
        // There is one of that number.
        #expect(try status(0, 4096, in: window) != .done)
        try bench.done(.destroyResource(id: 7))
        #expect(try status(0, 4096, in: window) == .done)
    }

    @Test func twoThousandBlobsAreNotTooMany() throws {
        let bench = try bench()
        let (_, window) = try bench.share(Self.windowSize)
        for _ in 0..<2 {
            for id in 1...2000 as ClosedRange<UInt32> {
                let piece = MemoryPiece(window: window, offset: UInt64(id % 1024) << 12, size: 4096)
                bench.renderer.send(.importBlob(resource: id, kind: .sharedMemory, piece: piece)) {
                    #expect($0?.status == .done)
                }
            }
            for id in 1...2000 as ClosedRange<UInt32> { bench.renderer.send(.destroyResource(id: id)) }
            try bench.wait { bench.renderer.pendingCount == 0 }
        }
    }

    @Test func whoLosesItsProcessLosesItsContextAndNobodyElse() throws {
        let bench = try bench()
        let (_, window) = try bench.share(Self.windowSize)
        try makeRing(bench, context: 1, window: window)
        let process = try contextProcess(bench)
        kill(process, SIGKILL)
        var status: RendererReply.Status? = .done
        let deadline = Deadline(after: .seconds(60))
        // It takes what was on its way.
        while status == .done, !deadline.hasPassed {
            status = try bench.call(.contextFence(context: 1, ring: 0))?.status
        }
        #expect(status == .noSuchObject)
        #expect(try bench.call(.submit(context: 1, commands: [0, 0, 0, 0]))?.status != .done)
        try bench.done(.destroyContext(id: 1))
        try bench.done(.createContext(id: 1, capabilitySet: Self.set, name: []))
        try bench.done(.contextFence(context: 1, ring: 1))
        #expect(bench.ends.isEmpty)
    }

    @Test func aRingThatIsNotThereSaysNothingOfOthers() throws {
        let bench = try bench()
        try bench.done(.createContext(id: 1, capabilitySet: Self.set, name: []))
        let process = try contextProcess(bench)
        kill(process, SIGSTOP)
        var first: RendererReply??
        bench.renderer.send(.contextFence(context: 1, ring: 0)) { first = .some($0) }
        for ring in [64, 255, .max] as [UInt32] {
            #expect(try bench.call(.contextFence(context: 1, ring: ring))?.status == .invalid)
        }
        #expect(first == nil)
        kill(process, SIGCONT)
        try bench.wait { first != nil }
        #expect(first??.status == .done)
    }

    @Test func aRendererSleepsWhileAFenceIsDue() throws {
        let bench = try bench()
        try bench.done(.createContext(id: 1, capabilitySet: Self.set, name: []))
        try bench.done(.contextFence(context: 1, ring: 0))
        let process = try contextProcess(bench)
        kill(process, SIGSTOP)
        var answer: RendererReply??
        bench.renderer.send(.contextFence(context: 1, ring: 0)) { answer = .some($0) }
        try bench.done(.capabilitySet(id: Self.set, version: 0))
        let renderer = try bench.process()
        func processorTime() throws -> String {
            try String(contentsOfFile: "/proc/\(renderer)/task/\(renderer)/schedstat", encoding: .utf8)
        }
        // One that sleeps has no event: two looks with some time between find the same.
        let (pause, deadline) = (try EventFD(), Deadline(after: .seconds(60)))
        var times = ["", try processorTime()]
        while times[0] != times[1], !deadline.hasPassed {
            _ = pause.wait(within: .milliseconds(200))
            times = [times[1], try processorTime()]
        }
        #expect(times[0] == times[1])
        kill(process, SIGCONT)
        try bench.wait { answer != nil }
        #expect(answer??.status == .done)
    }

    @Test func withoutItsRenderServerARendererEnds() throws {
        let bench = try bench()
        try bench.done(.createContext(id: 1, capabilitySet: Self.set, name: []))
        let server = try #require(try Bench.children(of: bench.process()).first)
        kill(server, SIGKILL)
        try bench.wait { !bench.renderer.isRunning }
        #expect(bench.ends == ["The renderer has ended."])
        try bench.renderer.start()
        try bench.done(.createContext(id: 1, capabilitySet: Self.set, name: []))
    }

    @Test func noProcessOutlivesItsRenderer() throws {
        let bench = try bench()
        try bench.done(.createContext(id: 1, capabilitySet: Self.set, name: []))
        let process = try contextProcess(bench)
        // One that hangs sees no end of a socket.
        kill(process, SIGSTOP)
        bench.renderer.stop()
        #expect(bench.renderer.waitForEnd(within: .seconds(60)))
        #expect(kill(process, 0) == -1 && errno == ESRCH)
    }

    @Test func contextsComeAndGo() throws {
        let bench = try bench()
        for id in 1...20 as ClosedRange<UInt32> {
            try bench.done(.createContext(id: id, capabilitySet: Self.set, name: Array("test".utf8)))
            try bench.done(.contextFence(context: id, ring: 0))
            try bench.done(.destroyContext(id: id))
        }
        let server = try #require(try Bench.children(of: bench.process()).first)
        let deadline = Deadline(after: .seconds(60))
        while try !Bench.children(of: server).isEmpty, !deadline.hasPassed { sched_yield() }
        #expect(try Bench.children(of: server) == [])
    }

    @Test func theRenderServersProcessesAreConfined() throws {
        let bench = try bench()
        try bench.done(.createContext(id: 1, capabilitySet: Self.set, name: []))
        let context = try contextProcess(bench)
        for process in [try bench.process(), try #require(try Bench.children(of: bench.process()).first), context] {
            let status = try String(contentsOfFile: "/proc/\(process)/status", encoding: .utf8)
            for line in ["NoNewPrivs:\t1", "Seccomp:\t2", "CapEff:\t0000000000000000"] {
                #expect(status.contains(line), "\(line)")
            }
        }
    }
}
