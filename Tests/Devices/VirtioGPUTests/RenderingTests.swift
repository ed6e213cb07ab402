import CLinux
import Device
import FakeDriver
import Foundation
import Glibc
import Linux
import Renderer
import SeededRandom
import Testing
import Virtio

@testable import VirtioGPU

/// 3D through queues and registers, drawn by a real virglrenderer with Mesa's software driver.
@Suite(.serialized) struct RenderingTests: RendererGuest {
    @Test func driversFindTheCapabilitySets() throws {
        #expect(try Machine("renderer=none").driver.offered.rawValue & 0b10001 == 0)
        let machine = try machine()
        #expect(try machine.driver.offered.rawValue & 0b10001 == 0b10001)
        #expect(try machine.driver.deviceConfiguration(12, .dword) == 2)
        for (index, id) in [UInt32(1), 2].enumerated() {
            let info = try machine.send(
                header(VIRTIO_GPU_CMD_GET_CAPSET_INFO, context: 0) + wire([UInt32(index), 0]), room: 40)
            #expect(word(info, 0) == 0x1102 && word(info, 24) == id && word(info, 28) == id)
            let size = Int(word(info, 32))
            #expect(size > 100)
            let set = header(VIRTIO_GPU_CMD_GET_CAPSET, context: 0) + wire([id, id])
            let contents = try machine.send(set, room: 24 + size)
            #expect(word(contents, 0) == 0x1103 && contents.count == 24 + size && word(contents, 24) == id)
            #expect(word(try machine.send(set, room: 23 + size), 0) == Answered.unspecified)
            let newer = header(VIRTIO_GPU_CMD_GET_CAPSET, context: 0) + wire([id, id + 1])
            #expect(try answer(machine, newer) == Answered.invalidParameter)
        }
        let beyond = header(VIRTIO_GPU_CMD_GET_CAPSET_INFO, context: 0) + wire([2, 0])
        #expect(word(try machine.send(beyond, room: 40), 0) == Answered.invalidParameter)
        let unknown = header(VIRTIO_GPU_CMD_GET_CAPSET, context: 0) + wire([4, 0])
        #expect(try answer(machine, unknown) == Answered.invalidParameter)
    }

    @Test func whatIsDrawnComesBackToTheGuest() throws {
        let machine = try machine()
        let backing = try setUp(machine)
        try done(machine, submit(clear(7, red: 1, green: 0, blue: 0), to: 1))
        try done(machine, transfer(VIRTIO_GPU_CMD_TRANSFER_FROM_HOST_3D, 7, context: 1))
        let pixels = machine.driver.bytes(at: backing, count: 512)
        #expect(stride(from: 0, to: 512, by: 4).allSatisfy { word(pixels, $0) == 0xffff_0000 })
        // And the other way.
        let pattern = (0..<512).map { UInt8(truncatingIfNeeded: $0 &* 7) }
        machine.driver.store(pattern, at: backing)
        try done(machine, transfer(VIRTIO_GPU_CMD_TRANSFER_TO_HOST_3D, 7))
        machine.driver.store([UInt8](repeating: 0, count: 512), at: backing)
        try done(machine, transfer(VIRTIO_GPU_CMD_TRANSFER_FROM_HOST_3D, 7))
        #expect(machine.driver.bytes(at: backing, count: 512) == pattern)
    }

    @Test func headsShowWhatIsDrawnOnceItIsFlushed() throws {
        let machine = try machine()
        try setUp(machine)
        try done(machine, submit(clear(7, red: 0, green: 1, blue: 0), to: 1))
        try show(machine)
        #expect(machine.picture() == [UInt32](repeating: 0xff00_ff00, count: 128))
        let head = try #require(machine.gpu.driver.heads.first)
        let watch = head.watchDamage()
        _ = watch.take()
        try done(machine, submit(clear(7, red: 0, green: 0, blue: 1, surface: 4), to: 1))
        let part = wire([3, 2, 4, 5])
        try done(machine, header(VIRTIO_GPU_CMD_RESOURCE_FLUSH, context: 0) + part + wire([7, 0]))
        #expect(watch.take() == [Rectangle(x: 3, y: 2, width: 4, height: 5)])
        let lines = stride(from: 0, to: 128, by: 16).map { machine.picture()?[$0 + 3] }
        #expect(lines == [0xff00_ff00, 0xff00_ff00] + [UInt32](repeating: 0xff00_00ff, count: 5) + [0xff00_ff00])
        // A part of it, and what is outside.
        try done(machine, header(VIRTIO_GPU_CMD_SET_SCANOUT, context: 0) + wire([4, 4, 8, 4]) + wire([0, 7]))
        try done(machine, header(VIRTIO_GPU_CMD_RESOURCE_FLUSH, context: 0) + wire([0, 0, 16, 8]) + wire([7, 0]))
        #expect(machine.picture() == [UInt32](repeating: 0xff00_00ff, count: 32))
        let outside = header(VIRTIO_GPU_CMD_SET_SCANOUT, context: 0) + wire([4, 4, 13, 4]) + wire([0, 7])
        #expect(try answer(machine, outside) == Answered.invalidParameter)
        try done(machine, header(VIRTIO_GPU_CMD_RESOURCE_UNREF, context: 0) + wire([7, 0]))
        #expect(machine.picture() == nil)
        #expect(machine.gpu.driver.processor.memory.used == RendererObjects.contextSize)
    }

    @Test func aCursorMayBeDrawnByTheRenderer() throws {
        let machine = try machine()
        try done(machine, createContext(1))
        try done(machine, createResource(7, width: 64, height: 64))
        try done(machine, attach(7, to: 1))
        try done(machine, submit(clear(7, red: 1, green: 1, blue: 0), to: 1))
        let update = header(VIRTIO_GPU_CMD_UPDATE_CURSOR, context: 0) + wire([0, 5, 6, 0]) + wire([7, 0, 0, 0])
        #expect(word(try machine.send(update, room: 24, on: machine.cursor), 0) == Answered.done)
        let image = try #require(machine.gpu.driver.heads[0].cursor?.image)
        var bytes = [UInt8](repeating: 0, count: 4)
        var span = bytes.mutableSpan
        var raw = span.mutableBytes
        image.memory.copy(at: image.offset, count: 4, into: &raw)
        #expect(bytes == [0, 255, 255, 255])
    }

    @Test func whatIsWrongIsRefusedAndHarmsNothing() throws {
        let machine = try machine()
        try setUp(machine)
        let refused: [([UInt8], UInt32)] = [
            (createContext(0), RendererNumber.invalidContext), (createContext(1), RendererNumber.invalidContext),
            (createContext(2, initialization: 9), Answered.invalidParameter),
            (createContext(2, initialization: 0x102), Answered.invalidParameter),
            (
                header(VIRTIO_GPU_CMD_CTX_CREATE, context: 2) + wire([65, 0]) + [UInt8](repeating: 0, count: 64),
                Answered.invalidParameter
            ),
            (Array(createContext(2).dropLast()), Answered.unspecified),
            (header(VIRTIO_GPU_CMD_CTX_DESTROY, context: 2), RendererNumber.invalidContext),
            (attach(7, to: 2), RendererNumber.invalidContext), (attach(8, to: 1), Answered.invalidResource),
            (header(VIRTIO_GPU_CMD_CTX_DETACH_RESOURCE, context: 1) + wire([8, 0]), Answered.invalidResource),
            (createResource(0), Answered.invalidResource), (createResource(7), Answered.invalidResource),
            (createResource(8, width: 0), Answered.invalidParameter),
            (createResource(8, width: 16385), Answered.invalidParameter),
            (createResource(8, target: 9), Answered.invalidParameter),
            (createResource(8, format: 9999), Answered.invalidParameter),
            (createResource(8, width: 8192, height: 8192), Answered.outOfMemory),
            (submit([0], to: 2), RendererNumber.invalidContext),
            (submit([0], to: 1, size: 3), Answered.invalidParameter),
            (submit([0], to: 1, size: 8), Answered.unspecified),
            (submit([0], to: 1, size: 1 << 30), Answered.unspecified),
            (transfer(VIRTIO_GPU_CMD_TRANSFER_TO_HOST_3D, 8), Answered.invalidResource),
            (transfer(VIRTIO_GPU_CMD_TRANSFER_FROM_HOST_3D, 7, context: 2), RendererNumber.invalidContext),
            (transfer(VIRTIO_GPU_CMD_TRANSFER_FROM_HOST_3D, 7, width: 17), Answered.invalidParameter),
            (transfer(VIRTIO_GPU_CMD_TRANSFER_TO_HOST_3D, 7, height: 9), Answered.invalidParameter),
            (
                header(VIRTIO_GPU_CMD_RESOURCE_MAP_BLOB, context: 0) + wire([7, 0]) + wire(UInt64(0)),
                Answered.unspecified
            ),
        ]
        for (request, type) in refused {
            let answered = try answer(machine, request)
            #expect(answered == type, "command 0x\(String(word(request, 0), radix: 16))")
        }
        // Backing where there is no memory.
        try done(machine, createResource(9))
        let nowhere = wire([9, 1]) + wire(UInt64(1) << 40) + wire([512, 0])
        let backing = header(VIRTIO_GPU_CMD_RESOURCE_ATTACH_BACKING, context: 0) + nowhere
        #expect(try answer(machine, backing) == Answered.unspecified)
        #expect(
            try answer(machine, transfer(VIRTIO_GPU_CMD_TRANSFER_TO_HOST_3D, 9)) == Answered.unspecified)
        try done(machine, submit(clear(7, red: 1, green: 0, blue: 0), to: 1))
    }

    @Test func whatTheDriverDidNotTakeIsRefused() throws {
        let machine = try Machine("renderer=virgl", features: 0b00010)
        #expect(try answer(machine, createContext(1)) == Answered.unspecified)
        #expect(try answer(machine, createResource(1)) == Answered.unspecified)
        let withoutInit = try Machine("renderer=virgl", features: 0b00011)
        try done(withoutInit, createContext(1))
        #expect(try answer(withoutInit, createContext(2, initialization: 2)) == Answered.unspecified)
    }

    @Test func fencesOfATimelineComeBackInOrderThoughTheSecondIsDoneFirst() throws {
        let machine = try machine()
        try setUp(machine)
        // Nothing is drawn until it goes on.
        let process = try renderer(of: machine)
        kill(process, SIGSTOP)
        func add(_ request: [UInt8]) throws -> UInt64 {
            let answer = machine.driver.allocate(24)
            let address = machine.driver.allocate(request)
            machine.control.add([.readable(address, request.count), .writable(answer, 24)], isIndirect: false)
            try machine.driver.notify(machine.control)
            return answer
        }
        let first = try add(submit(clear(7, red: 1, green: 0, blue: 0), to: 1, flags: 1, fence: 41))
        let second = try add(header(VIRTIO_GPU_CMD_RESOURCE_UNREF, context: 0, flags: 1, fence: 42) + wire([99, 0]))
        #expect(machine.control.takeUsed() == nil)
        // Without a fence, or of another ring, nothing waits for it.
        #expect(
            try answer(machine, header(VIRTIO_GPU_CMD_RESOURCE_UNREF, context: 0) + wire([99, 0]))
                == Answered.invalidResource)
        let other =
            wire([VIRTIO_GPU_CMD_RESOURCE_UNREF.rawValue, 3]) + wire(UInt64(43)) + wire([1, 1]) + wire([99, 0])
        #expect(try answer(machine, other) == Answered.invalidResource)
        kill(process, SIGCONT)
        _ = try machine.wait { machine.control.takeUsed() }
        #expect(word(machine.driver.bytes(at: first, count: 24), 0) == Answered.done)
        #expect(word(machine.driver.bytes(at: first, count: 24), 8) == 41)
        _ = try machine.wait { machine.control.takeUsed() }
        #expect(word(machine.driver.bytes(at: second, count: 24), 0) == Answered.invalidResource)
        #expect(word(machine.driver.bytes(at: second, count: 24), 8) == 42)
    }

    @Test func picturesBeyondTheRateAreCopiedLaterAndHoldBackWhatIsDrawnBehindThem() throws {
        let machine = try machine("frame-rate=10")
        let processor = machine.gpu.driver.processor
        var (now, alarm): (UInt64, UInt64) = (0, 0)
        processor.host.clock = { now }
        processor.onAlarm = { alarm = $0 }
        try setUp(machine)
        try done(machine, submit(clear(7, red: 1, green: 0, blue: 0), to: 1))
        try show(machine)
        #expect(machine.picture() == [UInt32](repeating: 0xffff_0000, count: 128))
        // As Linux does: it draws with a fence, and flushes without.
        let flush = header(VIRTIO_GPU_CMD_RESOURCE_FLUSH, context: 0) + wire([0, 0, 16, 8]) + wire([7, 0])
        try done(machine, submit(clear(7, red: 0, green: 1, blue: 0, surface: 4), to: 1, flags: 1, fence: 1))
        try done(machine, flush)
        #expect(alarm == 100_000_000)
        let request = submit([0], to: 1, flags: 1, fence: 2)
        let (address, response) = (machine.driver.allocate(request), machine.driver.allocate(24))
        machine.control.add([.readable(address, request.count), .writable(response, 24)], isIndirect: false)
        try machine.driver.notify(machine.control)
        let rendering = try #require(processor.rendering)
        #expect(rendering.process.waitForAnswers(within: .seconds(60)))
        #expect(machine.control.takeUsed() == nil)
        #expect(machine.picture() == [UInt32](repeating: 0xffff_0000, count: 128))
        now += alarm
        processor.showDue()
        _ = try machine.wait { machine.control.takeUsed() }
        #expect(word(machine.driver.bytes(at: response, count: 24), 8) == 2)
        #expect(machine.picture() == [UInt32](repeating: 0xff00_ff00, count: 128))
        // A renderer that ends while a picture waits leaves nothing waiting.
        try done(machine, flush)
        kill(try renderer(of: machine), SIGKILL)
        _ = try machine.wait { processor.objects?.contextIDs.isEmpty == true ? true : nil }
        now += alarm
        processor.showDue()
        #expect(processor.pacing.postponed.isEmpty)
        #expect(machine.picture() == [UInt32](repeating: 0xff00_ff00, count: 128))
    }

    @Test func aRendererThatDiesCostsTheContextsAlone() throws {
        let machine = try machine()
        var reports: [String] = []
        machine.host.report = { reports.append($0) }
        try setUp(machine)
        try done(machine, submit(clear(7, red: 1, green: 0, blue: 0), to: 1))
        try show(machine)
        let process = try renderer(of: machine)
        kill(process, SIGSTOP)
        kill(process, SIGKILL)
        #expect(try answer(machine, submit([0], to: 1)) == RendererNumber.invalidContext)
        _ = try machine.wait { () in reports.first }
        #expect(reports.first?.contains("contexts are lost") == true)
        #expect(try answer(machine, submit([0], to: 1)) == RendererNumber.invalidContext)
        // What was shown stays, and 2D goes on.
        #expect(machine.picture() == [UInt32](repeating: 0xffff_0000, count: 128))
        try done(machine, header(VIRTIO_GPU_CMD_RESOURCE_FLUSH, context: 0) + wire([0, 0, 16, 8]) + wire([7, 0]))
        #expect(
            try answer(machine, transfer(VIRTIO_GPU_CMD_TRANSFER_FROM_HOST_3D, 7)) == Answered.invalidResource)
        try done(machine, header(VIRTIO_GPU_CMD_RESOURCE_DETACH_BACKING, context: 0) + wire([7, 0]))
        try done(machine, header(VIRTIO_GPU_CMD_RESOURCE_UNREF, context: 0) + wire([7, 0]))
        try machine.draw([1, 2, 3, 4, 5, 6, 7, 8])
        #expect(machine.picture() == [1, 2, 3, 4, 5, 6, 7, 8])
        try done(machine, header(VIRTIO_GPU_CMD_RESOURCE_UNREF, context: 0) + wire([1, 0]))
        // A new one takes its place, and draws.
        _ = try machine.wait { machine.gpu.driver.processor.rendering?.process.isRunning == true ? true : nil }
        let backing = try setUp(machine)
        try done(machine, submit(clear(7, red: 0, green: 1, blue: 1), to: 1))
        try done(machine, transfer(VIRTIO_GPU_CMD_TRANSFER_FROM_HOST_3D, 7))
        #expect(word(machine.driver.bytes(at: backing, count: 4), 0) == 0xff00_ffff)
    }

    @Test func aRendererThatHangsIsReplaced() throws {
        let machine = try machine("renderer-timeout=1")
        try setUp(machine)
        let process = try renderer(of: machine)
        kill(process, SIGSTOP)
        #expect(try answer(machine, submit([0], to: 1)) == RendererNumber.invalidContext)
        // On a machine with much to do the next one may take too long for its first answer, too.
        _ = try machine.wait { try answer(machine, createContext(1)) == Answered.done ? true : nil }
    }

    @Test(arguments: [SIGCONT, SIGKILL]) func moreThanTheRendererTakesWaitsInTheQueue(signal: Int32) throws {
        let machine = try machine()
        try setUp(machine)
        let process = try renderer(of: machine)
        kill(process, SIGSTOP)
        // No operation, over and over.
        let request = submit([], to: 1, size: 900_000) + [UInt8](repeating: 0, count: 900_000)
        let address = machine.driver.allocate(request)
        let answers = (0..<14).map { _ in machine.driver.allocate(24) }
        for answer in answers {
            machine.control.add([.readable(address, request.count), .writable(answer, 24)], isIndirect: true)
        }
        try machine.driver.notify(machine.control)
        #expect(machine.gpu.driver.processor.rendering?.isCongested == true)
        #expect(machine.control.takeUsed() == nil)
        // The cursor's queue waits with it, and the driver tells of a chain once.
        let hide = header(VIRTIO_GPU_CMD_UPDATE_CURSOR, context: 0) + wire([UInt32](repeating: 0, count: 8))
        machine.cursor.add(.readable(machine.driver.allocate(hide), hide.count))
        try machine.driver.notify(machine.cursor)
        kill(process, signal)
        for _ in answers { _ = try machine.wait { machine.control.takeUsed() } }
        _ = try machine.wait { machine.cursor.takeUsed() }
        let types = Set(answers.map { word(machine.driver.bytes(at: $0, count: 4), 0) })
        #expect(types == [signal == SIGCONT ? Answered.done : RendererNumber.invalidContext])
    }

    @Test(arguments: [SIGCONT, SIGKILL]) func anUnmapIsDoneWhenTheRendererHasLetGo(signal: Int32) throws {
        let machine = try machine()
        try setUp(machine)
        let process = try renderer(of: machine)
        kill(process, SIGSTOP)
        var isReleased = false
        let outcome = try machine.host.memory.unmap(
            address: machine.ram.address, size: 1 << 20, onRelease: { isReleased = true })
        #expect(outcome == .held)
        try machine.host.loop.dispatch(within: .zero)
        #expect(!isReleased)
        kill(process, signal)
        _ = try machine.wait { isReleased ? true : nil }
    }

    @Test func aResetForgetsWhatTheRendererHad() throws {
        let machine = try machine()
        try setUp(machine)
        try done(machine, submit(clear(7, red: 1, green: 0, blue: 0), to: 1))
        try show(machine)
        let before = try renderer(of: machine)
        machine.gpu.reset()
        #expect(machine.picture() == nil)
        #expect(machine.gpu.driver.processor.objects?.contextIDs == [])
        #expect(machine.gpu.driver.processor.memory.used == 0)
        #expect(try machine.host.memory.unmap(address: machine.ram.address, size: 1 << 20, onRelease: {}) == .done)
        // The launcher takes the old one's status before it makes another.
        let rendering = try #require(machine.gpu.driver.processor.rendering)
        rendering.process.send(.fence) { #expect($0?.status == .done) }
        #expect(rendering.process.waitForAnswers(within: .seconds(60)))
        #expect(try renderer(of: machine) != before)
    }

    /// A word stream with a copy of all of resource 7, by virglrenderer's VIRGL_CCMD_TRANSFER3D.
    private func transferInStream(isToHost: Bool) -> [UInt32] {
        [43 | 13 << 16, 7, 0, 0, 64, 0] + [0, 0, 0, 16, 8, 1] + [0, isToHost ? 1 : 2]
    }

    /// Maps a part of the guest's memory.
    private func map(_ range: Range<UInt64>, in machine: Machine) throws {
        try machine.host.memory.map(
            address: machine.ram.address + range.lowerBound, size: UInt64(range.count), access: [.read, .write],
            backing: .file(machine.ram.file.descriptor.duplicate(), offset: range.lowerBound))
    }

    /// In commands of their own and in streams.
    @Test(arguments: [false, true]) func backingIsUsedAgainWhenTheClientComesBack(inStreams: Bool) throws {
        let machine = try machine()
        let backing = try setUp(machine)
        try done(machine, submit(clear(7, red: 1, green: 0, blue: 0), to: 1))
        for turn in 1...3 {
            machine.host.memory.unmapAll()
            try map(0..<1 << 20, in: machine)
            let pattern = (0..<512).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ turn) }
            machine.driver.store(pattern, at: backing)
            let (to, from) =
                inStreams
                ? (submit(transferInStream(isToHost: true), to: 1), submit(transferInStream(isToHost: false), to: 1))
                : (
                    transfer(VIRTIO_GPU_CMD_TRANSFER_TO_HOST_3D, 7, context: 1),
                    transfer(VIRTIO_GPU_CMD_TRANSFER_FROM_HOST_3D, 7, context: 1)
                )
            try done(machine, to)
            machine.driver.store([UInt8](repeating: 0, count: 512), at: backing)
            try done(machine, from)
            let isSame = machine.driver.bytes(at: backing, count: 512) == pattern
            #expect(isSame)
        }
        // The driver may still take it away, and give it anew.
        try done(machine, header(VIRTIO_GPU_CMD_RESOURCE_DETACH_BACKING, context: 0) + wire([7, 0]))
        let entry = wire([7, 1]) + wire(backing) + wire([512, 0])
        try done(machine, header(VIRTIO_GPU_CMD_RESOURCE_ATTACH_BACKING, context: 0) + entry)
    }

    @Test func whatNeedsBackingThatIsStillToComeWaitsForIt() throws {
        let machine = try machine()
        let half: UInt64 = 1 << 19
        try done(machine, createContext(1))
        try done(machine, createResource(7))
        try done(machine, attach(7, to: 1))
        let backing = machine.ram.address + half
        let entry = wire([7, 1]) + wire(backing) + wire([512, 0])
        try done(machine, header(VIRTIO_GPU_CMD_RESOURCE_ATTACH_BACKING, context: 0) + entry)
        let pattern = (0..<512).map { UInt8(truncatingIfNeeded: $0 &* 7) }
        machine.driver.store(pattern, at: backing)
        machine.host.memory.unmapAll()
        let requests = [
            transfer(VIRTIO_GPU_CMD_TRANSFER_TO_HOST_3D, 7), submit(transferInStream(isToHost: true), to: 1),
        ]
        let answers = requests.map { request in
            let answer = machine.driver.allocate(24)
            machine.control.add(.readable(machine.driver.allocate(request), request.count), .writable(answer, 24))
            return answer
        }
        // The queue is there, and what the commands lead to is not.
        try map(0..<half, in: machine)
        try machine.host.loop.dispatch(within: .zero)
        #expect(machine.control.takeUsed() == nil)
        try map(half..<2 * half, in: machine)
        for answer in answers {
            _ = try machine.wait { machine.control.takeUsed() }
            #expect(machine.driver.load(UInt32.self, at: answer) == Answered.done)
        }
        machine.driver.store([UInt8](repeating: 0, count: 512), at: backing)
        try done(machine, transfer(VIRTIO_GPU_CMD_TRANSFER_FROM_HOST_3D, 7))
        let isSame = machine.driver.bytes(at: backing, count: 512) == pattern
        #expect(isSame && machine.gpu.failure == nil)
    }

    @Test func whatWaitsForBackingHoldsBackWhatFollowsThoughAFenceIsDueBeforeIt() throws {
        let machine = try machine()
        try setUp(machine)
        let half: UInt64 = 1 << 19
        try done(machine, createResource(8))
        let entry = wire([8, 1]) + wire(machine.ram.address + half) + wire([512, 0])
        machine.host.memory.unmapAll()
        try map(0..<half, in: machine)
        try map(half..<2 * half, in: machine)
        try done(machine, header(VIRTIO_GPU_CMD_RESOURCE_ATTACH_BACKING, context: 0) + entry)
        func add(_ request: [UInt8]) -> UInt64 {
            let answer = machine.driver.allocate(24)
            machine.control.add(.readable(machine.driver.allocate(request), request.count), .writable(answer, 24))
            return answer
        }
        let process = try renderer(of: machine)
        kill(process, SIGSTOP)
        let fenced = add(submit(clear(7, red: 1, green: 0, blue: 0), to: 1, flags: 1, fence: 1))
        try machine.driver.notify(machine.control)
        machine.host.memory.unmapAll()
        var request = transfer(VIRTIO_GPU_CMD_TRANSFER_TO_HOST_3D, 8)
        request.replaceSubrange(4..<16, with: wire([1]) + wire(UInt64(2)))
        let waiting = add(request)
        let following = add(header(VIRTIO_GPU_CMD_RESOURCE_UNREF, context: 0) + wire([99, 0]))
        try map(0..<half, in: machine)
        try machine.host.loop.dispatch(within: .zero)
        #expect(machine.control.takeUsed() == nil)
        kill(process, SIGCONT)
        _ = try machine.wait { machine.control.takeUsed() }
        #expect(machine.driver.load(UInt32.self, at: fenced) == Answered.done)
        #expect(machine.control.takeUsed() == nil)
        try map(half..<2 * half, in: machine)
        for _ in 0..<2 { _ = try machine.wait { machine.control.takeUsed() } }
        #expect(machine.driver.load(UInt32.self, at: waiting) == Answered.done)
        #expect(machine.driver.load(UInt32.self, at: following) == Answered.invalidResource)
    }

    /// The driver acts, so the guest runs, with all its memory.
    @Test func backingThatStaysAwayIsMissedByTransfersAlone() throws {
        let machine = try machine()
        let half: UInt64 = 1 << 19
        try setUp(machine)
        try done(machine, createResource(8))
        let entry = wire([8, 1]) + wire(machine.ram.address + half) + wire([512, 0])
        machine.host.memory.unmapAll()
        try map(0..<half, in: machine)
        try map(half..<2 * half, in: machine)
        try done(machine, header(VIRTIO_GPU_CMD_RESOURCE_ATTACH_BACKING, context: 0) + entry)
        machine.host.memory.unmapAll()
        try map(0..<half, in: machine)
        try done(machine, submit(clear(7, red: 1, green: 0, blue: 0), to: 1))
        try done(machine, transfer(VIRTIO_GPU_CMD_TRANSFER_TO_HOST_3D, 7))
        #expect(try answer(machine, transfer(VIRTIO_GPU_CMD_TRANSFER_TO_HOST_3D, 8)) == Answered.unspecified)
        try map(half..<2 * half, in: machine)
        try done(machine, transfer(VIRTIO_GPU_CMD_TRANSFER_TO_HOST_3D, 8))
    }

    @Test func anUnmapEndsARendererThatHangs() throws {
        let machine = try machine("renderer-timeout=600")
        var reports: [String] = []
        machine.host.report = { reports.append($0) }
        try setUp(machine)
        kill(try renderer(of: machine), SIGSTOP)
        var isReleased = false
        let outcome = try machine.host.memory.unmap(
            address: machine.ram.address, size: 1 << 20, onRelease: { isReleased = true })
        #expect(outcome == .held)
        _ = try machine.wait { isReleased ? true : nil }
        #expect(reports.first?.contains("has not let go of guest memory") == true)
    }

    @Test func standingStillEndsARendererThatHangs() throws {
        let machine = try machine("renderer-timeout=600")
        try setUp(machine)
        let rendering = try #require(machine.gpu.driver.processor.rendering)
        let process = try renderer(of: machine)
        kill(process, SIGSTOP)
        rendering.process.send(.fence) { #expect($0 == nil) }
        // It would be waited for ten minutes otherwise.
        machine.gpu.setRunning(false)
        #expect(rendering.process.pendingCount == 0 && machine.gpu.driver.processor.objects?.contextIDs == [])
        #expect(throws: Errno.noSuchProcess) { try ProcessHandle(process) }
    }

    /// What a process has of its own memory, in bytes.
    private func anonymousMemory(of process: Int32) throws -> Int {
        let status = try String(contentsOfFile: "/proc/\(process)/status", encoding: .utf8)
        let line = try #require(status.split(separator: "\n").first { $0.hasPrefix("RssAnon:") })
        return try #require(line.split(separator: " ").dropLast().last.flatMap { Int($0) }) << 10
    }

    @Test(.disabled(if: ResourceLimit.isSanitized, "a sanitizer keeps what is freed"))
    func contextsTakeOfTheVideoMemoryAndGiveItBack() throws {
        let machine = try machine("vram=256M")
        let process = try renderer(of: machine)
        var count: UInt32 = 0
        while count < 1000, try answer(machine, createContext(count + 1)) == Answered.done { count += 1 }
        #expect(count == UInt32((256 << 20) / RendererObjects.contextSize))
        #expect(try answer(machine, createContext(count + 1)) == Answered.outOfMemory)
        #expect(try answer(machine, createResource(7, width: 2048, height: 2048)) == Answered.outOfMemory)
        let limits = try String(contentsOfFile: "/proc/\(process)/limits", encoding: .utf8)
        let data = try #require(limits.split(separator: "\n").first { $0.hasPrefix("Max data size") })
        let most = try #require(UInt64(data.split(separator: " ")[3]))
        #expect((512 << 20..<2 << 30).contains(most))
        let full = try anonymousMemory(of: process)
        // The driver's own and, of each context, what it was measured to take.
        #expect(full < 256 << 20 + 64 << 20, "\(full >> 20) MiB")
        #expect(full > 128 << 20, "\(full >> 20) MiB")
        for id in 1...count { try done(machine, header(VIRTIO_GPU_CMD_CTX_DESTROY, context: id)) }
        #expect(machine.gpu.driver.processor.memory.used == 0)
        _ = try machine.wait { try anonymousMemory(of: process) < full / 3 ? true : nil }
        // Those of a renderer that is lost take nothing.
        try done(machine, createContext(1))
        kill(process, SIGKILL)
        _ = try machine.wait { machine.gpu.driver.processor.memory.used == 0 ? true : nil }
    }

    @Test func standingStillMeansThatTheRendererHasNothingToDo() throws {
        let machine = try machine()
        try setUp(machine)
        let request = submit(clear(7, red: 1, green: 0, blue: 0), to: 1, flags: 1, fence: 9)
        let address = machine.driver.allocate(request)
        let response = machine.driver.allocate(24)
        machine.control.add([.readable(address, request.count), .writable(response, 24)], isIndirect: false)
        try machine.driver.notify(machine.control)
        machine.gpu.setRunning(false)
        #expect(machine.gpu.driver.processor.rendering?.process.pendingCount == 0)
        #expect(word(machine.driver.bytes(at: response, count: 4), 0) == Answered.done)
    }

    @Test func aRestoredDeviceShowsThePictureAndHasLostTheRest() throws {
        let first = try machine()
        try setUp(first)
        try done(first, submit(clear(7, red: 1, green: 0, blue: 0), to: 1))
        try show(first)
        let second = try machine()
        let (from, to) = (first.gpu.driver.processor.memory.bytes, second.gpu.driver.processor.memory.bytes)
        to.replace(at: 0, with: from, at: 0, count: 1 << 20)
        try second.gpu.driver.restore(first.gpu.driver.state)
        #expect(second.picture() == first.picture() && first.picture() != nil)
        #expect(try answer(second, submit([0], to: 1)) == RendererNumber.invalidContext)
        #expect(
            try answer(second, transfer(VIRTIO_GPU_CMD_TRANSFER_FROM_HOST_3D, 7)) == Answered.invalidResource)
        try done(second, header(VIRTIO_GPU_CMD_RESOURCE_UNREF, context: 0) + wire([7, 0]))
        try setUp(second)
    }

    @Test func hostileStreamsHarmTheirOwnContextsAtMost() throws {
        let machine = try machine()
        let neighbour = try self.machine()
        try setUp(neighbour)
        var random = SplitMix(seed: 5)
        for _ in 0..<300 {
            if machine.gpu.driver.processor.objects?.contextIDs.contains(1) == false {
                _ = try answer(machine, createContext(1))
                _ = try answer(machine, createResource(7))
                _ = try answer(machine, attach(7, to: 1))
            }
            var words = clear(7, red: 1, green: 0, blue: 0)
            for _ in 0..<Int.random(in: 0...6, using: &random) {
                words[Int.random(in: 0..<words.count, using: &random)] = UInt32(truncatingIfNeeded: random.next())
            }
            let type = try answer(machine, submit(words, to: 1))
            #expect([Answered.done, Answered.invalidParameter, RendererNumber.invalidContext].contains(type))
        }
        try machine.draw([1, 2, 3, 4, 5, 6, 7, 8])
        #expect(machine.picture() == [1, 2, 3, 4, 5, 6, 7, 8])
        try done(neighbour, submit(clear(7, red: 1, green: 0, blue: 0), to: 1))
    }

    /// One of the commands that concern the renderer, with numbers that are mostly small.
    private func randomRequest(_ random: inout SplitMix, backing: UInt64) -> [UInt8] {
        func number(_ small: Int) -> UInt32 {
            let edges: [UInt32] = [0, .max, 1 << 31, 16384, 16385]
            return Int.random(in: 0..<16, using: &random) == 0
                ? edges[Int.random(in: 0..<edges.count, using: &random)]
                : UInt32(Int.random(in: 0..<small, using: &random))
        }
        let (id, context) = (number(5), number(3))
        let area = wire([number(4), number(4), number(20), number(12)])
        switch Int.random(in: 0..<16, using: &random) {
        case 0: return createContext(context)
        case 1: return header(VIRTIO_GPU_CMD_CTX_DESTROY, context: context)
        case 2: return attach(id, to: context)
        case 3: return header(VIRTIO_GPU_CMD_CTX_DETACH_RESOURCE, context: context) + wire([id, 0])
        case 4, 5:
            let flat = Bool.random(using: &random)
            return createResource(
                id, width: flat ? 16 : number(80), height: flat ? 8 : number(80), target: flat ? 2 : number(10),
                format: flat ? 1 : number(140))
        case 6: return header(VIRTIO_GPU_CMD_RESOURCE_CREATE_2D, context: 0) + wire([id, 1, 16, 8])
        case 7: return header(VIRTIO_GPU_CMD_RESOURCE_UNREF, context: 0) + wire([id, 0])
        case 8:
            let entry = wire([id, 1]) + wire(backing + UInt64(number(4096))) + wire([number(2048), 0])
            return header(VIRTIO_GPU_CMD_RESOURCE_ATTACH_BACKING, context: 0) + entry
        case 9: return header(VIRTIO_GPU_CMD_RESOURCE_DETACH_BACKING, context: 0) + wire([id, 0])
        case 10:
            return header(VIRTIO_GPU_CMD_TRANSFER_TO_HOST_2D, context: 0) + area + wire(UInt64(number(64)))
                + wire([id, 0])
        case 11, 12:
            let type =
                Bool.random(using: &random) ? VIRTIO_GPU_CMD_TRANSFER_TO_HOST_3D : VIRTIO_GPU_CMD_TRANSFER_FROM_HOST_3D
            return transfer(type, id, context: context, width: number(20), height: number(10))
        case 13: return submit(clear(id, red: 1, green: 0, blue: 0, surface: number(4)), to: context)
        case 14: return header(VIRTIO_GPU_CMD_SET_SCANOUT, context: 0) + area + wire([number(2), id])
        default: return header(VIRTIO_GPU_CMD_RESOURCE_FLUSH, context: 0) + area + wire([id, 0])
        }
    }

    @Test(arguments: 1...4) func whateverIsAskedIsAnswered(seed: UInt64) throws {
        let machine = try machine("vram=8M")
        let backing = machine.driver.allocate(8192)
        var random = SplitMix(seed: seed)
        var done = 0
        for _ in 0..<500 {
            let request = randomRequest(&random, backing: backing)
            let type = try answer(machine, request)
            #expect((0x1200...0x1205).contains(type) || type == Answered.done)
            if type == Answered.done { done += 1 }
        }
        #expect(done > 50, "most of what is asked makes no sense, but not all")
        #expect(try !machine.driver.needsReset)
        for id in machine.gpu.driver.processor.resources.ids {
            try self.done(machine, header(VIRTIO_GPU_CMD_RESOURCE_UNREF, context: 0) + wire([id, 0]))
        }
        for id in try #require(machine.gpu.driver.processor.objects).contextIDs {
            try self.done(machine, header(VIRTIO_GPU_CMD_CTX_DESTROY, context: id))
        }
        #expect(machine.gpu.driver.processor.memory.used == 0)
    }

    @Test func whatCanNotDrawIsSaidAtTheStart() throws {
        let absent = #expect(throws: OptionError.self) { _ = try machine("render-node=/dev/dri/renderD255") }
        #expect(absent?.description.contains("no 3D at '/dev/dri/renderD255'") == true)
        let alone = #expect(throws: OptionError.self) { _ = try Machine("render-node=/dev/dri/renderD128") }
        #expect(alone?.description.contains("renderer=virgl") == true)
    }

    @Test func whereTheGuestsMemoryIsNoFilesThereIsNo3D() throws {
        let host = Host(loop: try EventLoop(), hasGuestFiles: false)
        func make(_ option: String) throws {
            typealias GPU = VirtioFunction<VirtioGPU>
            _ = try GPU(options: DeviceOptions([option], for: GPU.type), host: host)
        }
        let refused = #expect(throws: OptionError.self) { try make("renderer=virgl") }
        #expect(refused?.description.contains("'renderer=none'") == true)
        try make("renderer=none")
    }

    // MARK: Parts

    /// Formats by number of `enum virgl_formats`.
    @Test(
        arguments: [
            (1, 4 << 20), (26, 32 << 20), (31, 16 << 20), (105, 512 << 10), (106, 512 << 10), (107, 1 << 20),
            (112, 1 << 20),
            (113, 512 << 10), (116, 1 << 20), (226, 4 << 20), (255, 1 << 20), (9999, 16 << 20),
        ] as [(UInt32, Int)])
    func aTextureCountsAsItsFormatTakes(format: UInt32, size: Int) throws {
        let picture = RendererCommand.ResourceParameters(
            id: 1, target: RendererNumber.texture2D, format: format, bind: 8, width: 1024, height: 1024)
        #expect(try HostResource(picture, serial: 1).size == size)
        // Whole blocks.
        #expect(TexelLayout(virgl: 105).size(width: 5, height: 1) == 16)
    }

    @Test func failuresInARowMakeTheNextTryLater() {
        var now: UInt64 = 0
        let second: UInt64 = 1_000_000_000
        var backOff = BackOff { now }
        let delays = (0..<9).map { _ in backOff.next() / second }
        #expect(delays == [0, 1, 2, 4, 8, 16, 32, 60, 60])
        now += 119 * second
        let late = backOff.next()
        #expect(late == 60 * second)
        now += 120 * second
        let anew = backOff.next()
        #expect(anew == 1)
    }

    @Test func memoryOfARestoredPictureIsNotFreedByWhatWasBefore() throws {
        let memory = try VideoMemory(reserved: 0, limit: 8192, of: DeviceMemory())
        let first = memory.allocate(8192)
        let piece = try #require(first)
        memory.beginWriting(to: piece)
        memory.release(piece)
        let isHeld = memory.hold([piece])
        #expect(isHeld)
        memory.endWriting(to: piece)
        #expect(memory.used == 8192)
    }

    @Test func memoryThatIsWrittenToIsNotHandedOutAnew() throws {
        let memory = try VideoMemory(reserved: 0, limit: 8192, of: DeviceMemory())
        let first = memory.allocate(8192)
        let piece = try #require(first)
        memory.beginWriting(to: piece)
        memory.beginWriting(to: piece)
        memory.release(piece)
        memory.endWriting(to: piece)
        let early = memory.allocate(1)
        #expect(early == nil)
        memory.endWriting(to: piece)
        #expect(memory.used == 0)
        let reserved = [4096, 4097, -1].map { memory.reserve($0) }
        #expect(reserved == [true, false, false])
        let large = memory.allocate(8192)
        #expect(large == nil)
        memory.giveBack(4096)
        let again = memory.allocate(8192)
        #expect(again == piece)
    }
}
