import CLinux
import Linux
import ScriptedGPU
import Testing
import VTest
import VirtioGPUDriver

/// What programs say, and what becomes of it on a vGPU.
@Suite struct ConversationTests {
    let device = ScriptedGPU()
    let board: Switchboard
    let program: Conversation

    init() throws {
        board = Switchboard(device)
        program = try #require(board.begin(1))
    }

    /// What a program has got: bytes, and how many descriptors.
    struct Got: Equatable {
        var bytes: [UInt8] = []
        var descriptors = 0
    }

    func say(_ bytes: [UInt8], to conversation: Conversation? = nil) throws {
        let conversation = conversation ?? program
        conversation.receive(bytes.span.bytes)
        while try conversation.advance(by: 8) {}
    }

    func hear(_ conversation: Conversation? = nil, room: Int = .max) throws -> Got {
        var got = Got()
        var room = room
        try (conversation ?? program).flush { (bytes, descriptor) throws(Errno) in
            let count = min(bytes.byteCount, room)
            room -= count
            got.bytes += bytes.extracting(first: count).withUnsafeBytes { Array($0) }
            if count > 0, descriptor >= 0 { got.descriptors += 1 }
            return count
        }
        return got
    }

    /// Answers all, and has all that is left taken away.
    func settle() throws {
        repeat {
            device.answer(to: board)
            try board.tidy()
        } while device.countInFlight > 0 || board.isUntidy
    }

    @Test func theFirstWordIsTheName() throws {
        try say(VTestWords.message(10))
        #expect(program.ending == "it has not said its name first")
    }

    @Test func versionsAreAgreedOnAsByTheStockServer() throws {
        try say(VTestWords.hello() + VTestWords.message(10) + VTestWords.busyWait(waits: false))
        #expect(try hear().bytes == VTestWords.bytes([0, 10, 1, 7, 0]))
        for (wanted, agreed) in [(0, 0), (1, 0), (2, 2), (3, 2), (.max, 2)] as [(UInt32, UInt32)] {
            try say(VTestWords.version(wanted))
            #expect(try hear().bytes == VTestWords.bytes([1, 11, agreed]))
        }
        // Nothing of it needs a context.
        #expect(device.commands.isEmpty)
    }

    @Test func capabilitiesAreTheVGPUs() throws {
        try say(VTestWords.hello() + VTestWords.message(9) + VTestWords.message(1))
        let sets = device.capabilitySets
        #expect(
            try hear().bytes == VTestWords.bytes([1001, 2]) + sets[1].contents + VTestWords.bytes([309, 1])
                + sets[0].contents)
        try say(VTestWords.message(16, 2, 1) + VTestWords.message(16, 7, 0) + VTestWords.message(15, 1))
        #expect(
            try hear().bytes == VTestWords.bytes([251, 16, 1]) + sets[1].contents
                + VTestWords.bytes([1, 16, 0, 2, 15, 0, 0]))
    }

    @Test func aResourceIsSharedWhenTheVGPUHasIt() throws {
        try say(VTestWords.hello() + VTestWords.version(2) + VTestWords.picture(5, memory: 1024))
        _ = try hear()
        #expect(device.memory.count == 1)
        // It isn't told before, and what comes behind waits.
        try say(VTestWords.busyWait(waits: false))
        #expect(try hear() == Got())
        device.answer(to: board)
        #expect(try hear() == Got(bytes: [0], descriptors: 1))
        #expect(device.resources.count == 1 && device.contexts.count == 1)
        try say(VTestWords.transfer2(14, 5) + VTestWords.submit([1, 2, 3]) + VTestWords.busyWait(waits: true))
        #expect(try hear() == Got(bytes: VTestWords.bytes([1, 7, 0])))
        try say([])
        #expect(try hear() == Got())
        device.answer(to: board)
        #expect(try hear() == Got(bytes: VTestWords.bytes([1, 7, 0])))
        try say(VTestWords.message(3, 5))
        try settle()
        #expect(device.resources.isEmpty && device.memory.isEmpty && device.violations.isEmpty)
    }

    @Test func whatTheVGPUHasNoMemoryForIsAnsweredWithoutADescriptor() throws {
        device.refusal = { if case .createResource = $0 { VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY.rawValue } else { nil } }
        try say(VTestWords.hello() + VTestWords.picture(5, memory: 1024))
        try settle()
        #expect(try hear() == Got(bytes: [0]))
        #expect(program.ending == nil && device.memory.isEmpty)
        // The number is free again.
        device.refusal = { _ in nil }
        try say(VTestWords.picture(5, memory: 1024))
        device.answer(to: board)
        #expect(try hear() == Got(bytes: [0], descriptors: 1))
        device.memoryLimit = 1
        try say(VTestWords.picture(6, memory: 1024))
        #expect(try hear() == Got(bytes: [0]))
        // More than a program may share.
        device.memoryLimit = 64
        try say(VTestWords.picture(7, memory: .max))
        #expect(try hear() == Got(bytes: [0]))
        #expect(program.ending == nil)
    }

    @Test func versionZeroTransfersBySocket() throws {
        try say(VTestWords.hello() + VTestWords.picture(5))
        device.answer(to: board)
        let pixels = (0..<1024).map { UInt8(truncatingIfNeeded: $0) }
        // In pieces, as it may come.
        let put = VTestWords.transfer(5, 5, size: 1024) + pixels
        for start in stride(from: 0, to: put.count, by: 100) {
            try say(Array(put[start..<min(start + 100, put.count)]))
        }
        let kinds = device.commands.suffix(3)
        guard case .attachBacking = kinds.first, case .detachBacking = kinds.last else {
            Issue.record("\(kinds)")
            return
        }
        try settle()
        #expect(device.memory.isEmpty)
        try say(VTestWords.transfer(4, 5, size: 1024))
        #expect(try hear() == Got())
        device.answer(to: board)
        // A program that takes a little at a time gets all of it.
        var got: [UInt8] = []
        while program.hasOutput { got += try hear(room: 300).bytes }
        #expect(got == [UInt8](repeating: 0, count: 1024))
        try settle()
        #expect(device.memory.isEmpty && device.violations.isEmpty && program.ending == nil)
    }

    /// Whatever is in flight, and whoever else is there.
    @Test func whatAProgramLeavesIsTakenAwayAndNothingElse() throws {
        let other = try #require(board.begin(1))
        for conversation in [program, other] {
            try say(VTestWords.hello() + VTestWords.picture(1, memory: 4096), to: conversation)
            device.answer(to: board)
            try say(VTestWords.picture(2) + VTestWords.submit([1]), to: conversation)
        }
        _ = try hear(other)
        try say(VTestWords.transfer2(13, 1) + VTestWords.picture(3, memory: 4096))
        board.end(program)
        try settle()
        #expect(device.contexts.count == 1 && device.resources.count == 2 && device.memory.count == 1)
        try say(VTestWords.busyWait(waits: true), to: other)
        #expect(try hear(other).bytes == VTestWords.bytes([1, 7, 0]))
        board.end(other)
        try settle()
        #expect(device.contexts.isEmpty && device.resources.isEmpty && device.memory.isEmpty)
        #expect(device.violations.isEmpty)
    }

    /// Streams name resources by the program's numbers, and the vGPU knows others.
    @Test func streamsNameTheProgramsOwnResources() throws {
        let other = try #require(board.begin(1))
        try say(VTestWords.hello() + VTestWords.picture(1) + VTestWords.picture(2), to: other)
        device.answer(to: board)
        try say(VTestWords.hello() + VTestWords.picture(1) + VTestWords.picture(2))
        device.answer(to: board)
        let surface: [UInt32] = [5 << 16 | 8 << 8 | 1, 7, 2, 1, 0, 0]
        let shader: [UInt32] = [2 << 16 | 4 << 8 | 1, 2, 1]
        let buffers: [UInt32] = [6 << 16 | 6, 1, 1, 1, 2, 2, 2]
        let images: [UInt32] = [12 << 16 | 35, 1, 1, 1, 1, 1, 1, 0, 2, 2, 2, 2, 99]
        let copy: [UInt32] = [13 << 16 | 17, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2]
        // Its length is more than there is.
        let cut: [UInt32] = [9 << 16 | 47, 1]
        try say(VTestWords.submit(surface + shader + buffers + images + copy + cut))
        guard case .submit(_, let stream) = device.commands.last else {
            Issue.record("\(device.commands)")
            return
        }
        var expected = surface + shader + buffers + images + copy + cut
        for (place, number) in [(2, 4), (12, 3), (15, 4), (28, .max), (30, 3), (35, 4)] as [(Int, UInt32)] {
            expected[place] = number
        }
        #expect(stream == VTestWords.bytes(expected))
    }

    @Test func aLostContextEndsTheProgram() throws {
        try say(VTestWords.hello() + VTestWords.submit([1]))
        device.refusal = { _ in VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID.rawValue }
        device.answer(to: board)
        #expect(program.ending == "its context is lost")
    }

    @Test(arguments: [
        VTestWords.message(99), VTestWords.message(18, 1, 2, 3, 4, 5, 6), VTestWords.message(0), VTestWords.hello(),
        VTestWords.message(6, length: 1 << 20), VTestWords.message(6, length: .max), VTestWords.transfer2(14, 77),
        VTestWords.transfer(5, 77, size: 64), VTestWords.message(17, 9), VTestWords.message(17, 0),
        VTestWords.picture(1) + VTestWords.picture(1),
        VTestWords.picture(1) + VTestWords.transfer(4, 1, size: 0),
        VTestWords.picture(1)
            + VTestWords.transfer(5, 1, size: .max),
    ])
    func whatCantBeEndsTheProgramAlone(message: [UInt8]) throws {
        let other = try #require(board.begin(1))
        try say(VTestWords.hello() + message)
        #expect(program.ending != nil)
        board.end(program)
        try settle()
        #expect(device.contexts.isEmpty && device.resources.isEmpty && device.memory.isEmpty)
        try say(VTestWords.hello() + VTestWords.message(10), to: other)
        #expect(try hear(other).bytes == VTestWords.bytes([0, 10]))
    }

    @Test func aProgramThatReadsNoAnswersIsReadFromNoMore() throws {
        try say(VTestWords.hello())
        for _ in 0..<1000 where program.wantsInput { try say(VTestWords.message(10)) }
        #expect(!program.wantsInput)
        _ = try hear()
        #expect(program.wantsInput)
    }
}
