import CLinux
import Linux
import Renderer
import Testing
import Waiting
import Worker

@testable import VirtioGPU

/// Blobs in the host's memory: what the guest's driver says of the window, and what the renderer gets of it.
@Suite struct BlobTests {
    private typealias Guest = VenusGuest

    private func piece(_ commands: [RendererCommand]) -> (MemoryPiece, RendererCommand.BlobKind)? {
        for case .importBlob(_, let kind, let piece) in commands { return (piece, kind) }
        return nil
    }

    @Test func aBlobIsTheRenderersFromWhereItIsMapped() throws {
        let guest = try Guest.withContext()
        try guest.done(guest.createBlob(5, blob: 0, size: 8192))
        // Where it is to lie isn't known yet.
        #expect(guest.renderer.takeCommands().isEmpty)
        let answer = try guest.ask(guest.map(5, at: 4096))
        #expect(answer?.type == Answered.mapInfo)
        // VIRTIO_GPU_MAP_CACHE_CACHED
        #expect(answer?.payload == wire([1, 0]))
        try guest.done(guest.attach(5))
        let commands = guest.renderer.takeCommands()
        let ring = try #require(piece(commands))
        #expect(ring.0.offset == 4096 && ring.0.size == 8192 && ring.1 == .sharedMemory)
        #expect(commands.last == .attachResource(context: 1, resource: 5))
        try guest.place(6, at: 0, blob: 17)
        let memory = try #require(piece(guest.renderer.takeCommands()))
        #expect(memory.0.offset == 0 && memory.0.size == 4096 && memory.1 == .deviceMemory)
        #expect(memory.0.window == ring.0.window)
    }

    @Test func whatWasAttachedBeforeIsAttachedBehindTheImport() throws {
        let guest = try Guest.withContext()
        try guest.done(guest.createContext(2), guest.createBlob(5), guest.attach(5), guest.attach(5, to: 2))
        try guest.done(guest.detach(5, from: 1))
        _ = guest.renderer.takeCommands()
        #expect(try guest.send(guest.map(5, at: 0)) == Answered.mapInfo)
        #expect(guest.renderer.takeCommands().dropFirst() == [.attachResource(context: 2, resource: 5)])
        // Another context of that number has nothing of it.
        try guest.done(guest.unmap(5), guest.header(VIRTIO_GPU_CMD_CTX_DESTROY, context: 2), guest.createContext(2))
        _ = guest.renderer.takeCommands()
        #expect(try guest.send(guest.map(5, at: 0)) == Answered.mapInfo)
        #expect(guest.renderer.takeCommands().count == 1)
    }

    @Test func whatIsWrongIsRefusedAndHarmsNothing() throws {
        let guest = try Guest.withContext()
        try guest.place(5, at: 8192, size: 8192)
        try guest.done(guest.createBlob(6, flags: 0), guest.createBlob(7), guest.createBlob(8, size: 12288))
        try guest.done(guest.createBlob(9, memory: 1, size: 64))
        _ = guest.renderer.takeCommands()
        let size = UInt64(64 << 20)
        let refused: [([UInt8], UInt32)] = [
            (guest.createBlob(0), Answered.invalidResource), (guest.createBlob(5), Answered.invalidResource),
            (guest.createBlob(10, context: 0), Answered.invalidContext),
            (guest.createBlob(10, context: 9), Answered.invalidContext),
            (guest.createBlob(10, flags: 8), Answered.invalidParameter),
            (guest.createBlob(10, size: 0), Answered.invalidParameter),
            (guest.createBlob(10, size: 4097), Answered.invalidParameter),
            (guest.createBlob(10, size: size + 4096), Answered.outOfMemory),
            (guest.createBlob(10, size: .max - 4095), Answered.outOfMemory),
            (guest.createBlob(10, entries: 1), Answered.invalidParameter),
            (guest.createBlob(10, memory: 3), Answered.invalidParameter),
            (guest.createBlob(10, memory: 4), Answered.invalidParameter),
            (guest.map(5, at: 0), Answered.unspecified), (guest.map(6, at: 0), Answered.invalidParameter),
            (guest.map(9, at: 0), Answered.invalidResource), (guest.map(99, at: 0), Answered.invalidResource),
            (guest.map(7, at: 1), Answered.invalidParameter), (guest.map(7, at: size), Answered.invalidParameter),
            (guest.map(7, at: size + 4096), Answered.invalidParameter),
            (guest.map(7, at: .max - 4095), Answered.invalidParameter),
            (guest.map(8, at: size - 8192), Answered.invalidParameter),
            // On another: at its beginning, at its end, and all round it.
            (guest.map(7, at: 8192), Answered.invalidParameter), (guest.map(7, at: 12288), Answered.invalidParameter),
            (guest.map(8, at: 4096), Answered.invalidParameter), (guest.map(8, at: 0), Answered.invalidParameter),
            (guest.unmap(7), Answered.unspecified), (guest.unmap(9), Answered.invalidResource),
            (guest.unmap(99), Answered.invalidResource),
            (guest.attach(7, to: 9), Answered.invalidContext), (guest.attach(99), Answered.invalidResource),
            (Array(guest.map(7, at: 0).dropLast()), Answered.unspecified),
            (Array(guest.unmap(5).dropLast(8)), Answered.unspecified),
            (guest.createContext(3, set: 2), Answered.invalidParameter),
            (
                guest.header(VIRTIO_GPU_CMD_RESOURCE_CREATE_3D) + wire([10, 2, 1, 2, 8, 8, 1, 1, 0, 0, 0, 0]),
                Answered.unspecified
            ),
        ]
        for (number, (request, type)) in refused.enumerated() {
            #expect(try guest.send(request) == type, "request \(number)")
        }
        #expect(guest.renderer.takeCommands().isEmpty)
        #expect(try guest.ask(guest.map(7, at: 0), room: 31)?.type == Answered.unspecified)
        // Right before it, and right behind it.
        #expect(try guest.send(guest.map(7, at: 4096)) == Answered.mapInfo)
        #expect(try guest.send(guest.map(8, at: 16384)) == Answered.mapInfo)
    }

    @Test func withoutAWindowThereAreNone() throws {
        let driver = try Driver(features: VenusGuest.features)
        #expect(driver.createBlob(1, memory: 2, size: 4096, []) == Answered.invalidParameter)
        #expect(driver.send(VIRTIO_GPU_CMD_RESOURCE_MAP_BLOB, wire([1, 0]) + wire(UInt64(0))) == Answered.unspecified)
        #expect(driver.send(VIRTIO_GPU_CMD_RESOURCE_UNMAP_BLOB, wire([1, 0])) == Answered.unspecified)
    }

    @Test func whatIsUnmappedIsAHoleBeforeAnybodyElseHasItsPlace() throws {
        let guest = try Guest.withContext()
        try guest.place(5, at: 4096)
        try guest.done(guest.createBlob(6))
        guest.store([1, 2], at: 4096)
        _ = guest.renderer.takeCommands()
        // The renderer has not let go of it.
        guest.renderer.answer { if case .destroyResource = $0 { nil } else { .done } }
        let unmap = guest.driver.start(guest.unmap(5))
        let unref = guest.driver.start(guest.unref(5))
        #expect(try guest.send(guest.map(6, at: 4096)) == Answered.invalidParameter)
        #expect(guest.driver.replies[unmap] == nil && guest.driver.replies[unref] == nil)
        #expect(guest.number(at: 4096) == 2 << 32 | 1)
        // Answered behind it.
        try guest.done(guest.submit())
        #expect(guest.renderer.takeCommands() == [.destroyResource(id: 5), .submit(context: 1, commands: wire([7]))])
        try guest.renderer.goOn()
        try guest.loop.dispatch(until: { guest.driver.replies[unref] != nil })
        #expect(guest.driver.take(unmap)?.type == Answered.done && guest.driver.take(unref)?.type == Answered.done)
        #expect(try guest.window.bytes.memoryTaken() == 0)
        #expect(guest.number(at: 4096) == 0)
        #expect(try guest.send(guest.map(6, at: 4096)) == Answered.mapInfo)
    }

    @Test func aMappedBlobThatGoesIsAHoleToo() throws {
        let guest = try Guest.withContext()
        try guest.place(5, at: 0)
        guest.store([1], at: 0)
        try guest.done(guest.unref(5))
        #expect(guest.number(at: 0) == 0)
        #expect(guest.window.isEmpty)
        #expect(try guest.send(guest.unmap(5)) == Answered.invalidResource)
    }

    @Test func anUnmappedBlobCanBeMappedElsewhereAndIsEmptyThere() throws {
        let guest = try Guest.withContext()
        try guest.place(5, at: 0)
        guest.store([1], at: 0)
        try guest.done(guest.unmap(5))
        _ = guest.renderer.takeCommands()
        #expect(try guest.send(guest.map(5, at: 8192)) == Answered.mapInfo)
        let commands = guest.renderer.takeCommands()
        #expect(piece(commands)?.0.offset == 8192 && commands.last == .attachResource(context: 1, resource: 5))
        #expect(guest.number(at: 0) == 0 && guest.number(at: 8192) == 0)
    }

    @Test func whatTheRendererDoesNotTakeIsNotMapped() throws {
        let guest = try Guest.withContext()
        try guest.done(guest.createBlob(5))
        guest.renderer.answer { if case .importBlob = $0 { .outOfMemory } else { .done } }
        #expect(try guest.send(guest.map(5, at: 0)) == Answered.outOfMemory)
        #expect(guest.window.isEmpty)
        #expect(try guest.send(guest.unmap(5)) == Answered.unspecified)
        try guest.renderer.goOn()
        #expect(try guest.send(guest.map(5, at: 0)) == Answered.mapInfo)
    }

    @Test func aFullWindowCanBeFreedAndUsedAgain() throws {
        let guest = try Guest.withContext()
        let size = UInt64(64 << 20)
        for round in 0..<3 {
            try guest.place(5, at: 0, size: size / 2)
            try guest.place(6, at: size / 2, size: size / 2)
            guest.store([7], at: (64 << 20) - 4096)
            try guest.done(guest.createBlob(7))
            #expect(try guest.send(guest.map(7, at: 0)) == Answered.invalidParameter, "round \(round)")
            try guest.done(guest.unmap(6), guest.unref(6), guest.unref(5), guest.unref(7))
            #expect(try guest.window.bytes.memoryTaken() == 0)
        }
    }

    @Test func whileALargePieceIsEmptiedOthersAreServed() throws {
        let size = 4 * Window.pieceSize
        let guest = try Guest.withContext(windowSize: size)
        try guest.place(5, at: 0, size: UInt64(size))
        guest.store([1], at: 0)
        guest.store([1], at: size - 4096)
        let other = try EventFD()
        var wasServedBetween = false
        let token = try guest.loop.watch("other", other.descriptor, for: .readable) { _ in
            if guest.number(at: 0) == 0, guest.number(at: size - 4096) == 1 { wasServedBetween = true }
        }
        defer { guest.loop.unwatch(token) }
        other.signal()
        let (unmap, unref) = (guest.driver.start(guest.unmap(5)), guest.driver.start(guest.unref(5)))
        try guest.loop.dispatch(until: { guest.driver.replies[unref] != nil })
        #expect(wasServedBetween)
        #expect(guest.driver.take(unmap)?.type == Answered.done && guest.driver.take(unref)?.type == Answered.done)
        #expect(guest.window.isEmpty && guest.number(at: size - 4096) == 0)
    }

    @Test func aPieceThatCanNotBeEmptiedIsNobodysAndSaid() throws {
        // As good as a kernel without memory: one that lets nobody make holes.
        let file = try MemoryFile(name: "window", size: 1 << 20, isOwnAlone: true)
        let window = try Window(file, loop: EventLoop())
        var reports: [String] = []
        window.report = { reports.append($0) }
        for offset in [0, 4096] as [UInt64] {
            window.release(try window.take(4096, at: offset))
            #expect(throws: Refusal.self) { try window.take(4096, at: offset) }
        }
        #expect(reports.count == 1 && reports.first?.contains("can't be emptied") == true)
        window.reset()
        _ = try window.take(4096, at: 0)
    }

    @Test func aResetLeavesNothing() throws {
        let guest = try Guest.withContext()
        try guest.place(5, at: 0)
        guest.store([1], at: 0)
        guest.driver.processor.reset()
        #expect(guest.number(at: 0) == 0)
        #expect(guest.window.isEmpty)
        try guest.loop.dispatch(until: { guest.driver.processor.rendering?.process.isRunning == true })
        try guest.done(guest.createContext(1))
        try guest.place(5, at: 0)
    }
}
