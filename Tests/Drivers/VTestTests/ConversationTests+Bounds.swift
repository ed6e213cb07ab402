import Linux
import ScriptedGPU
import Testing
import VTest
import VirtioGPUDriver

/// What a program may have, and when it waits.
extension ConversationTests {
    @Test func onlySoManyProgramsAreServed() {
        for number in 1..<Switchboard.maximumConversations { #expect(board.begin(Int32(10 + number)) != nil) }
        #expect(board.begin(9) == nil)
        board.end(program)
        #expect(board.begin(9) != nil)
    }

    @Test func oneProcessDoesntTakeAllPlaces() {
        for _ in 1..<Switchboard.maximumConnections { #expect(board.begin(1) != nil) }
        #expect(board.begin(1) == nil)
        #expect(board.begin(2) != nil)
        board.end(program)
        #expect(board.begin(1) != nil)
    }

    @Test func oneProcessLeavesResourcesForOthers() throws {
        device.capacity = 1024
        try say(VTestWords.hello())
        let second = try #require(board.begin(1))
        try say(VTestWords.hello(), to: second)
        // Connections of a process count together.
        for handle in 1...UInt32(Switchboard.maximumResources / 4) {
            try say(VTestWords.picture(handle))
            try say(VTestWords.picture(handle), to: second)
            device.answer(to: board)
        }
        #expect(program.ending == nil && second.ending == nil)
        let other = try #require(board.begin(2))
        try say(VTestWords.hello() + VTestWords.picture(1, memory: 64), to: other)
        device.answer(to: board)
        #expect(try hear(other) == Got(bytes: [0], descriptors: 1))
        // Who asks for memory is told; who doesn't would never know.
        try say(VTestWords.picture(9999, memory: 64))
        #expect(try hear() == Got(bytes: [0]))
        #expect(program.ending == nil)
        try say(VTestWords.picture(9999), to: second)
        #expect(second.ending?.hasPrefix("it wants more than the") == true)
        board.end(second)
        try settle()
        try say(VTestWords.picture(9999, memory: 64))
        device.answer(to: board)
        #expect(try hear() == Got(bytes: [0], descriptors: 1))
        #expect(device.violations.isEmpty)
    }

    /// A stream of nothing makes a context, which takes a block of its own to become the current one.
    @Test(arguments: [0, 16]) func aFirstStreamWaitsForRoomForAllThatItNeeds(blocksLeft: Int) throws {
        let other = try #require(board.begin(2))
        try say(VTestWords.hello() + VTestWords.submit([1]))
        device.answer(to: board)
        let whole = [UInt32](repeating: 0, count: GPUCommand.maximumStream / 4)
        device.blockCapacity = 4 * 16 + 16
        for _ in 0..<5 { try say(VTestWords.submit(whole)) }
        device.blockCapacity = 4 * 16 + blocksLeft
        try say(VTestWords.hello() + VTestWords.submit(blocksLeft == 0 ? [] : whole), to: other)
        let count = device.countInFlight
        device.answer(to: board)
        try say([], to: other)
        try settle()
        #expect(count == 4 && device.contexts.count == 2 && device.violations.isEmpty)
    }

    /// What was sent before it may take long.
    @Test func memoryIsTakenAwayWhenTheVGPUHasNothingToDo() throws {
        try say(VTestWords.hello() + VTestWords.picture(1, memory: 64))
        device.answer(to: board)
        try say(VTestWords.message(3, 1) + VTestWords.submit([1]))
        device.answer(2, to: board)
        try board.tidy()
        #expect(device.memory.count == 1 && !board.isUntidy)
        device.answer(to: board)
        #expect(board.isUntidy)
        try board.tidy()
        #expect(device.memory.isEmpty && device.violations.isEmpty)
    }

    /// A program that never rests can't keep the memory of others for good.
    @Test func muchUnusedMemoryIsWaitedFor() throws {
        device.memoryLimit = 2 * Switchboard.mostUnused
        try say(VTestWords.hello())
        for _ in 0..<Switchboard.mostUnused {
            try say(VTestWords.picture(1, memory: 64))
            device.answer(to: board)
            _ = try hear()
            // The stream is always in flight.
            try say(VTestWords.message(3, 1) + VTestWords.submit([1]))
            device.answer(2, to: board)
            try board.tidy()
        }
        #expect(device.memory.count == Switchboard.mostUnused)
        let sent = device.commands.count
        try say(VTestWords.submit([2]))
        #expect(device.commands.count == sent)
        device.answer(to: board)
        var goesOn = false
        while board.isUntidy { goesOn = try board.tidy() || goesOn }
        #expect(goesOn && device.memory.isEmpty)
        _ = try hear()
        try say([])
        #expect(device.commands.count == sent + 1 && device.violations.isEmpty)
    }

    /// A full queue is waited for, and nothing is lost.
    @Test func aFullQueueHoldsMessagesBack() throws {
        device.capacity = 8
        try say(VTestWords.hello())
        for number in 0..<20 { try say(VTestWords.submit([UInt32(number)])) }
        #expect(device.countInFlight <= 8)
        for _ in 0..<20 {
            device.answer(2, to: board)
            try say([])
        }
        let streams = device.commands.compactMap { if case .submit(_, let stream) = $0 { stream } else { nil } }
        // The first one makes the context current.
        #expect(streams == [[0, 0, 0, 0]] + (0..<20).map { VTestWords.bytes([$0]) })
        #expect(device.violations.isEmpty)
    }
}
