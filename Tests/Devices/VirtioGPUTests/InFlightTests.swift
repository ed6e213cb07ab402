import CLinux
import Device
import FakeDriver
import FakeGuest
import Foundation
import Glibc
import Linux
import Renderer
import Testing

@testable import VirtioGPU

/// What a guest may do while the renderer has not answered, and may never: numbers used anew, contexts and pictures
/// that go.
@Suite(.serialized) struct InFlightTests: RendererGuest {
    /// A renderer that stands still, and what was asked of it.
    private struct Stopped {
        let machine: DeviceTests.Machine
        let process: Int32
        private(set) var answers: [UInt64] = []

        init(_ machine: DeviceTests.Machine, _ process: Int32) {
            self.machine = machine
            self.process = process
            kill(process, SIGSTOP)
        }

        /// Sends a request, and waits for nothing.
        mutating func start(_ request: [UInt8], on queue: (any DriverQueue)? = nil) throws {
            let queue = queue ?? machine.control
            let answer = machine.driver.allocate(24)
            queue.add(.readable(machine.driver.allocate(request), request.count), .writable(answer, 24))
            try machine.driver.notify(queue)
            #expect(queue.takeUsed() == nil)
            answers.append(answer)
        }

        /// Lets the renderer go on, or ends it, and waits for all answers.
        ///
        /// - Returns: their types.
        func finish(_ signal: Int32, on queue: (any DriverQueue)? = nil) throws -> [UInt32] {
            let queue = queue ?? machine.control
            kill(process, signal)
            for _ in answers { _ = try machine.wait { queue.takeUsed() } }
            #expect(queue.takeUsed() == nil)
            return answers.map { machine.driver.load(UInt32.self, at: $0) }
        }
    }

    private func stop(_ machine: Machine) throws -> Stopped { Stopped(machine, try renderer(of: machine)) }

    private func unref(_ id: UInt32) -> [UInt8] {
        header(VIRTIO_GPU_CMD_RESOURCE_UNREF, context: 0) + wire([id, 0])
    }

    private func flush(_ id: UInt32) -> [UInt8] {
        header(VIRTIO_GPU_CMD_RESOURCE_FLUSH, context: 0) + wire([0, 0, 16, 8]) + wire([id, 0])
    }

    private func show(_ id: UInt32) -> [UInt8] {
        header(VIRTIO_GPU_CMD_SET_SCANOUT, context: 0) + wire([0, 0, 16, 8]) + wire([0, id])
    }

    @Test(arguments: [SIGCONT, SIGKILL]) func aContextMadeAnewIsAnotherOne(signal: Int32) throws {
        let machine = try machine("renderer-timeout=600")
        try setUp(machine)
        let processor = machine.gpu.driver.processor
        var stopped = try stop(machine)
        try stopped.start(submit(clear(7, red: 1, green: 0, blue: 0), to: 1, flags: 1, fence: 1))
        try stopped.start(header(VIRTIO_GPU_CMD_CTX_DESTROY, context: 1))
        try stopped.start(createContext(1))
        try stopped.start(submit([0], to: 1))
        let isLost = signal == SIGKILL
        let type = isLost ? RendererNumber.invalidContext : Answered.done
        #expect(try stopped.finish(signal) == [type, type, type, type])
        #expect(processor.objects?.contextIDs == (isLost ? [] : [1]))
        #expect(processor.memory.used == (isLost ? 0 : RendererObjects.contextSize + 512))
        _ = try machine.wait { processor.rendering?.process.isRunning == true ? true : nil }
        if isLost { try done(machine, createContext(1)) }
        try done(machine, submit([0], to: 1))
    }

    @Test func aResourceThatTheRendererRefusesDoesNotTakeTheNextOfItsNumberAlong() throws {
        let machine = try machine("renderer-timeout=600")
        try setUp(machine)
        let processor = machine.gpu.driver.processor
        var stopped = try stop(machine)
        try stopped.start(createResource(8, format: 9999))
        try stopped.start(unref(8))
        try stopped.start(createResource(8))
        #expect(
            try stopped.finish(SIGCONT) == [Answered.invalidParameter, Answered.done, Answered.done])
        #expect(processor.resources.ids == [7, 8])
        #expect(processor.memory.used == RendererObjects.contextSize + 2 * 512)
        // And one that is refused is none.
        #expect(try answer(machine, createResource(9, format: 9999)) == Answered.invalidParameter)
        #expect(processor.resources.ids == [7, 8])
        #expect(processor.memory.used == RendererObjects.contextSize + 2 * 512)
    }

    @Test(arguments: [SIGCONT, SIGKILL]) func aPictureThatGoesKeepsItsMemoryUntilTheRendererHasAnswered(
        signal: Int32
    )
        throws
    {
        let machine = try machine("renderer-timeout=600")
        try setUp(machine)
        try done(machine, submit(clear(7, red: 1, green: 0, blue: 0), to: 1))
        try show(machine)
        let memory = machine.gpu.driver.processor.memory
        let before = memory.used
        var stopped = try stop(machine)
        try stopped.start(flush(7))
        try stopped.start(unref(7))
        #expect(machine.picture() == nil)
        #expect(memory.used == before - 512, "the renderer may be writing to what the head had")
        let type = signal == SIGKILL ? RendererNumber.invalidContext : Answered.done
        #expect(try stopped.finish(signal) == [type, type])
        #expect(memory.used == (signal == SIGKILL ? 0 : RendererObjects.contextSize))
        #expect(try memory.bytes.dataExtents().isEmpty, "what is nobody's is zero")
    }

    @Test(arguments: [SIGCONT, SIGKILL]) func whoWatchesIsToldOfPixelsThatComeAfterAFlip(signal: Int32) throws {
        let machine = try machine("renderer-timeout=600")
        try setUp(machine)
        try done(machine, createResource(8))
        try show(machine)
        let watch = try #require(machine.gpu.driver.heads.first).watchDamage()
        var stopped = try stop(machine)
        try stopped.start(flush(7))
        // The same memory of the head's, and another picture.
        try done(machine, show(8))
        _ = watch.take()
        _ = try stopped.finish(signal)
        #expect(watch.take() == [Rectangle(x: 0, y: 0, width: 16, height: 8)])
    }

    @Test func aCursorOfTheDevicesOwnThatComesLaterStays() throws {
        let machine = try machine("renderer-timeout=600")
        try done(machine, createContext(1))
        try done(machine, createResource(9, width: 64, height: 64))
        try done(machine, attach(9, to: 1))
        try done(machine, submit(clear(9, red: 1, green: 1, blue: 1), to: 1))
        try done(machine, header(VIRTIO_GPU_CMD_RESOURCE_CREATE_2D, context: 0) + wire([10, 1, 64, 64]))
        func update(_ id: UInt32) -> [UInt8] {
            header(VIRTIO_GPU_CMD_UPDATE_CURSOR, context: 0) + wire([0, 5, 6, 0]) + wire([id, 0, 0, 0])
        }
        func pixel() throws -> [UInt8] {
            let image = try #require(machine.gpu.driver.heads[0].cursor?.image)
            var bytes: [UInt8] = [1, 2, 3, 4]
            var span = bytes.mutableSpan
            var raw = span.mutableBytes
            image.memory.copy(at: image.offset, count: 4, into: &raw)
            return bytes
        }
        var stopped = try stop(machine)
        try stopped.start(update(9), on: machine.cursor)
        #expect(word(try machine.send(update(10), room: 24, on: machine.cursor), 0) == Answered.done)
        #expect(try stopped.finish(SIGCONT, on: machine.cursor) == [Answered.done])
        #expect(try pixel() == [0, 0, 0, 0])
        #expect(word(try machine.send(update(9), room: 24, on: machine.cursor), 0) == Answered.done)
        #expect(try pixel() == [255, 255, 255, 255])
    }

    @Test func aRestoredPictureIsNotTakenByWhatWasInFlight() throws {
        let machine = try machine("renderer-timeout=600")
        try setUp(machine)
        try done(machine, submit(clear(7, red: 1, green: 0, blue: 0), to: 1))
        try show(machine)
        let red = [UInt32](repeating: 0xffff_0000, count: 128)
        var stopped = try stop(machine)
        try stopped.start(createResource(8))
        try stopped.start(flush(7))
        try done(machine, show(8))
        #expect(machine.picture() == red)
        // The renderer ends, and has made no resource 8; that of the state stays, though its content is lost.
        try machine.gpu.driver.restore(machine.gpu.driver.state)
        #expect(machine.picture() == red)
        #expect(machine.gpu.driver.processor.resources.ids == [7, 8])
        #expect(machine.gpu.driver.processor.memory.used == 4096)
        #expect(machine.control.takeUsed() == nil, "what was in flight comes once more")
    }

    /// No order of a dictionary reaches what the renderer is told.
    @Test func lostBackingIsToldAnewInTheOrderOfItsResources() throws {
        let machine = try machine("renderer-timeout=600")
        try setUp(machine)
        let backing = machine.driver.allocate([UInt8](repeating: 0, count: 512))
        for id in UInt32(20)..<36 {
            try done(machine, createResource(id))
            let entry = wire([id, 1]) + wire(backing) + wire([512, 0])
            try done(machine, header(VIRTIO_GPU_CMD_RESOURCE_ATTACH_BACKING, context: 0) + entry)
        }
        machine.host.memory.unmapAll()
        try machine.host.memory.map(
            address: machine.ram.address, size: 1 << 20, access: [.read, .write],
            backing: .file(machine.ram.file.descriptor.duplicate(), offset: 0))
        let tap = KeepingTap()
        machine.host.tap = tap
        try done(machine, submit([0], to: 1))
        let sent = tap.take().filter { $0.passage == .sent("renderer") }.map(\.bytes)
        // What tells of a backing is 6 in RendererCommand+Wire.swift; the resource's number follows.
        #expect(sent.filter { word($0, 0) == 6 }.map { word($0, 4) } == [7] + Array(20..<36))
    }
}
