import FakeGuest
import Linux
import SharedRing
import Testing

@testable import Worker

/// A worker behind its rings, and what its end does to a device process.
@Suite struct WorkerTests {
    // MARK: Commands

    @Test func answersComeInTheOrderOfTheirCommands() throws {
        let bench = try WorkerBench()
        try bench.launch()
        var answers: [EchoReply?] = []
        let payloads = (0..<1000).map { [UInt8](repeating: UInt8($0 & 0xff), count: $0 % 100) }
        for payload in payloads { bench.process.send(.echo(payload)) { answers.append($0) } }
        try bench.wait { answers.count == payloads.count }
        #expect(answers == payloads.map { EchoReply($0) })
        // Both have gone to sleep meanwhile, or have not.
        for number in 0..<1000 as Range<UInt32> {
            let bytes = [UInt8](String(number).utf8)
            #expect(try bench.call(.echo(bytes)) == EchoReply(bytes))
        }
    }

    @Test func anAnswerMayBeDueLaterThanThoseBehindIt() throws {
        let bench = try WorkerBench()
        try bench.launch()
        var order: [Int] = []
        bench.process.send(.late) { _ in order.append(1) }
        bench.process.send(.echo([])) { _ in order.append(2) }
        try bench.wait { order.count == 2 }
        #expect(order == [2, 1])
    }

    @Test func moreThanTheRingHoldsWaitsItsTurn() throws {
        let bench = try WorkerBench()
        let bytes = [UInt8](repeating: 7, count: 1 << 20)
        var answers: [EchoReply?] = []
        var hasRoom = false
        bench.process.onRoom = { hasRoom = true }
        for _ in 0..<20 { bench.process.send(.count(bytes)) { answers.append($0) } }
        #expect(bench.process.isCongested)
        try bench.launch()
        try bench.wait { answers.count == 20 }
        #expect(hasRoom && !bench.process.isCongested)
        #expect(answers.allSatisfy { $0 == EchoReply(Array("\(1 << 20)".utf8)) })
    }

    @Test func aTapSeesWhatIsSaid() throws {
        let bench = try WorkerBench()
        let tap = KeepingTap()
        bench.process.tap = { tap }
        try bench.launch()
        _ = tap.takeAll()
        #expect(try bench.call(.echo([1, 2])) == EchoReply([1, 2]))
        bench.process.stop()
        let seen = tap.takeAll()
        #expect(seen.map(\.passage) == [.sent("echo"), .received("echo"), .disconnected("echo")])
        // A message begins with its kind, and a payload's bytes with their number.
        #expect(seen.prefix(2).allSatisfy { $0.bytes.dropFirst(4) == [2, 0, 0, 0, 1, 2] })
    }

    // MARK: Windows

    @Test func aWorkerSeesSharedMemoryUntilItIsWithdrawn() throws {
        let bench = try WorkerBench()
        try bench.launch()
        let memory = try MemoryFile(name: "test", size: 4096)
        memory.publish(0x0807_0605_0403_0201, at: 64)
        let window = try bench.process.share(memory.descriptor, offset: 0, size: 4096)
        let piece = MemoryPiece(window: window, offset: 64, size: 8)
        #expect(try bench.call(.read(piece)) == EchoReply([1, 2, 3, 4, 5, 6, 7, 8]))
        for (offset, size) in [(0, 4097), (4096, 1), (UInt64.max, 1), (1, UInt64.max), (0, 0)] as [(UInt64, UInt64)] {
            let piece = MemoryPiece(window: window, offset: offset, size: size)
            #expect(try bench.call(.read(piece)) == EchoReply([]))
        }
        var isWithdrawn = false
        bench.process.withdraw(window) { isWithdrawn = true }
        try bench.wait { isWithdrawn }
        #expect(try bench.call(.read(piece)) == EchoReply([]))
    }

    // MARK: Ends

    @Test func anAnswerThatMayComeAtAnyTimeIsNotMissed() throws {
        let bench = try WorkerBench(patience: .milliseconds(100))
        try bench.launch()
        #expect(try bench.call(.echo([1])) == EchoReply([1]))
        bench.process.send(.patience)
        let timer = try TimerFD()
        var isOver = false
        let watch = try bench.loop.watch("test", timer.descriptor, for: .readable) { _ in
            timer.consume()
            isOver = true
        }
        defer { bench.loop.unwatch(watch) }
        timer.set(.milliseconds(500))
        try bench.wait { isOver }
        #expect(bench.process.isRunning && bench.ends.isEmpty)
        // Another that is due is missed as ever.
        bench.process.send(.silence)
        try bench.wait { !bench.process.isRunning }
    }

    @Test func aWorkerThatIsSilentIsEnded() throws {
        let bench = try WorkerBench(patience: .milliseconds(100))
        try bench.launch()
        var isLost = false
        bench.process.send(.silence) { isLost = $0 == nil }
        try bench.wait { !bench.process.isRunning }
        #expect(!isLost)
        #expect(try bench.packet()?.kind == WorkerLink.kill)
        try bench.tellEnd(by: 9)
        try bench.wait { isLost }
        #expect(bench.ends == ["The echo has not answered for 100 ms, and was ended."])
        try bench.process.start()
    }

    @Test func aDeathIsToldToAllWhoWait() throws {
        let bench = try WorkerBench()
        _ = try bench.session()
        var lost = 0
        for _ in 0..<3 { bench.process.send(.echo([])) { if $0 == nil { lost += 1 } } }
        bench.process.withdraw(1) { lost += 1 }
        try bench.tellEnd(by: 11)
        try bench.wait { lost == 4 }
        #expect(bench.process.crashSignal == 11)
        #expect(bench.ends == ["The echo was ended by signal 11, Segmentation fault."])
        #expect(try bench.call(.echo([])) == nil)
    }

    @Test(arguments: [SharedRing.Field.head, .tail])
    func aWorkerThatBreaksTheRulesOfARingIsEnded(field: SharedRing.Field) throws {
        let bench = try WorkerBench()
        let socket = UnixSocket(owning: try bench.session())
        var descriptors = ReceivedDescriptors()
        #expect(try WorkerLink.receive(from: socket, &descriptors, blocking: true)?.kind == WorkerLink.hello)
        guard let commandMemory = descriptors.take(0), let replyMemory = descriptors.take(1),
            let doorbell = descriptors.take(3)
        else { throw Errno.protocolError }
        let commands = try MessageRing(adopting: commandMemory, capacity: WorkerLink.commandCapacity)
        let replies = try MessageRing(adopting: replyMemory, capacity: WorkerLink.replyCapacity)
        // More was taken out, or put in, than there can be.
        (field == .head ? commands : replies).memory.release(field, 1 << 30)
        try EventFD(adopting: doorbell).signal()
        // A producer looks for room when what it knows of doesn't do.
        for _ in 0..<9 { bench.process.send(.count([UInt8](repeating: 0, count: 1 << 20))) }
        try bench.wait { !bench.process.isRunning }
        try bench.tellEnd(by: 9)
        try bench.wait { !bench.ends.isEmpty }
        #expect(bench.ends.first??.hasPrefix("The echo has sent nonsense, and was ended: ") == true)
        #expect(!bench.process.isCongested)
    }

    @Test func whatIsNoCommandEndsTheWorker() throws {
        let bench = try WorkerBench()
        bench.process.send(.echo([1]))
        var endpoint = try WorkerEndpoint<EchoReply, EchoReply>(UnixSocket(owning: bench.session()))
        _ = try endpoint.next()
        bench.process.send(.silence)
        #expect(throws: WorkerEnd.self) { _ = try endpoint.next() }
    }

    @Test func aWorkerThatHangsUpHasNotEnded() throws {
        let bench = try WorkerBench()
        var isLost = false
        bench.process.send(.silence) { isLost = $0 == nil }
        // The worker's end comes with the packet, and nobody keeps it.
        #expect(try bench.packet()?.kind == WorkerLink.start)
        try bench.loop.dispatch(within: .zero)
        #expect(bench.process.isRunning && !isLost)
        bench.process.stop()
        #expect(try bench.packet()?.kind == WorkerLink.kill)
        #expect(!bench.process.waitForEnd(within: .zero) && !isLost)
        #expect(throws: Errno.resourceBusy) { try bench.process.start() }
        try bench.tellEnd(by: 9)
        #expect(bench.process.waitForEnd(within: WorkerBench.limit) && isLost)
        #expect(bench.process.crashSignal == 0)
        try bench.process.start()
    }

    @Test func withoutALauncherAWorkerHasEndedWhenItsSocketIsClosed() throws {
        let link = try UnixSocket.pair(keepsPackets: true)
        let launcher = link.second
        let loop = try EventLoop()
        let worker = try EchoProcess(
            "echo", launcher: link.first, id: 0, loop: loop, memoryLimit: 1 << 30, patience: .seconds(60))
        var ends: [String?] = []
        worker.onEnd = { ends.append($0) }
        try worker.start()
        var descriptors = ReceivedDescriptors()
        #expect(try WorkerLink.receive(from: launcher, &descriptors, blocking: true)?.kind == WorkerLink.start)
        _ = consume launcher
        try loop.dispatch(within: .seconds(60))
        #expect(!worker.isRunning && ends.isEmpty)
        descriptors.removeAll()
        #expect(worker.waitForEnd(within: .seconds(60)))
        #expect(ends == ["The echo's launcher has ended."])
    }
}
