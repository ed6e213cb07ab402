import CLinux
import Device
import FakeDriver
import FakeGuest
import Linux
import Renderer
import Testing
import Virtio
import Waiting

@testable import VirtioGPU

/// Vulkan through the device: contexts, fences, pictures from the window, and the renderer's end.
@Suite struct VenusTests {
    private typealias Guest = VenusGuest

    // MARK: Fences

    @Test func aFenceWaitsForItsRingAlone() throws {
        let guest = try Guest.withContext()
        guest.renderer.answer { if case .contextFence(_, 1) = $0 { nil } else { .done } }
        let first = guest.driver.start(guest.submit(fence: 1, ring: 1))
        let second = guest.driver.start(guest.submit(fence: 2, ring: 1))
        // Of another ring, of no ring, and without a fence.
        let other = try guest.ask(guest.submit(fence: 3, ring: 2))
        #expect(other?.fence == 3 && other?.ring == 2 && other?.flags == 3)
        #expect(try guest.ask(guest.submit(fence: 4))?.fence == 4)
        try guest.done(guest.submit())
        #expect(guest.driver.replies[first] == nil && guest.driver.replies[second] == nil)
        let fences = guest.renderer.takeCommands().filter { if case .submit = $0 { false } else { true } }
        #expect(
            fences == [
                .contextFence(context: 1, ring: 1), .contextFence(context: 1, ring: 1),
                .contextFence(context: 1, ring: 2), .contextFence(context: 1, ring: 0),
            ])
        try guest.renderer.goOn()
        try guest.loop.dispatch(until: { guest.driver.replies[second] != nil })
        #expect(guest.driver.take(first)?.fence == 1)
    }

    @Test func whatSpeaksOpenGLKeepsItsOneOrder() throws {
        let guest = try Guest.withContext(drawing: [.virgl, .venus])
        #expect(try guest.send(guest.createContext(2, set: 2)) == Answered.done)
        _ = guest.renderer.takeCommands()
        _ = try guest.ask(guest.submit(to: 2, fence: 1, ring: 1))
        #expect(guest.renderer.takeCommands().last == .fence)
        _ = try guest.ask(guest.submit(fence: 1, ring: 1))
        #expect(guest.renderer.takeCommands().last == .contextFence(context: 1, ring: 1))
        let sets = try (0..<4).map { index in
            try guest.ask(guest.header(VIRTIO_GPU_CMD_GET_CAPSET_INFO) + wire([index, 0]))
        }
        #expect(sets.prefix(3).map { word($0?.payload ?? [0, 0, 0, 0], 0) } == [1, 2, 4])
        #expect(sets.last??.type == Answered.invalidParameter)
    }

    @Test func contextsOfVulkanHaveABoundOfTheirOwn() throws {
        let guest = try Guest(drawing: [.virgl, .venus], vram: 256 << 20)
        let most = UInt32(RendererKinds.mostVenusContexts)
        for id in 1...most { try guest.done(guest.createContext(id)) }
        #expect(try guest.send(guest.createContext(most + 1)) == Answered.outOfMemory)
        // Others, and the next one when one has gone, have room.
        try guest.done(guest.createContext(most + 2, set: 2), guest.header(VIRTIO_GPU_CMD_CTX_DESTROY, context: 1))
        try guest.done(guest.createContext(most + 1))
    }

    // MARK: Pictures

    private func show(_ guest: Guest, stride: UInt32 = 64, offset: UInt32 = 128) throws -> UInt32? {
        try guest.send(
            guest.header(VIRTIO_GPU_CMD_SET_SCANOUT_BLOB) + wire([0, 0, 4, 2])
                + wire([0, 5, 4, 2, 2, 0, stride, 0, 0, 0, offset, 0, 0, 0]))
    }

    private func flush(_ guest: Guest) throws -> UInt32? {
        try guest.send(guest.header(VIRTIO_GPU_CMD_RESOURCE_FLUSH) + wire([0, 0, 4, 2]) + wire([5, 0]))
    }

    @Test func aPictureIsShownFromTheWindow() throws {
        let guest = try Guest.withContext()
        try guest.place(5, at: 4096)
        guest.store([1, 2, 3, 4], at: 4096 + 128)
        guest.store([5, 6, 7, 8], at: 4096 + 128 + 64)
        #expect(try show(guest) == Answered.done)
        #expect(try flush(guest) == Answered.done)
        #expect(guest.driver.picture() == [[1, 2, 3, 4], [5, 6, 7, 8]])
        // What is drawn and not flushed isn't shown.
        guest.store([9], at: 4096 + 128)
        #expect(guest.driver.picture()?.first?.first == 1)
        #expect(try flush(guest) == Answered.done)
        #expect(guest.driver.picture()?.first?.first == 9)
        // Of one that is unmapped nothing new can be shown.
        try guest.done(guest.unmap(5))
        #expect(try flush(guest) == Answered.unspecified)
        #expect(guest.driver.picture()?.first?.first == 9)
        try guest.done(guest.unref(5))
        #expect(guest.driver.picture() == nil)
    }

    @Test func aPictureOutsideTheBlobIsRefused() throws {
        let guest = try Guest.withContext()
        try guest.done(guest.createBlob(5, blob: 1))
        #expect(try show(guest) == Answered.invalidResource)
        #expect(try guest.send(guest.map(5, at: 4096)) == Answered.mapInfo)
        #expect(try show(guest, stride: 15) == Answered.invalidParameter)
        #expect(try show(guest, stride: 16, offset: 4096 - 31) == Answered.invalidParameter)
        #expect(try show(guest, stride: .max, offset: .max) == Answered.invalidParameter)
        #expect(try show(guest, stride: 16, offset: 4096 - 32) == Answered.done)
        #expect(try flush(guest) == Answered.done)
        #expect(guest.driver.picture() == [[0, 0, 0, 0], [0, 0, 0, 0]])
    }

    @Test func aCursorIsTakenFromTheWindow() throws {
        let guest = try Guest.withContext()
        try guest.place(5, at: 0, size: 16384)
        guest.store([0xff11_2233], at: 0)
        let update = guest.header(VIRTIO_GPU_CMD_UPDATE_CURSOR) + wire([0, 3, 4, 0, 5, 0, 0, 0])
        #expect(try guest.send(update, from: .cursor) == Answered.done)
        let cursor = try #require(guest.driver.processor.heads[0].cursor)
        #expect(guest.driver.pixels(cursor.image).first?.first == 0xff11_2233)
        try guest.place(6, at: 16384)
        let small = guest.header(VIRTIO_GPU_CMD_UPDATE_CURSOR) + wire([0, 3, 4, 0, 6, 0, 0, 0])
        #expect(try guest.send(small, from: .cursor) == Answered.invalidParameter)
    }

    // MARK: The renderer's end

    @Test func aLostRendererLeavesThePictureAndAnEmptyWindow() throws {
        let guest = try Guest.withContext()
        try guest.place(5, at: 0)
        guest.store([1, 2, 3, 4], at: 128)
        #expect(try show(guest) == Answered.done)
        #expect(try flush(guest) == Answered.done)
        guest.renderer.answer { if case .destroyResource = $0 { nil } else { .done } }
        try guest.place(6, at: 8192)
        let unmap = guest.driver.start(guest.unmap(6))
        let unref = guest.driver.start(guest.unref(6))
        try guest.renderer.die()
        try guest.loop.dispatch(until: { !guest.driver.reports.isEmpty })
        #expect(guest.driver.take(unmap)?.type == Answered.done && guest.driver.take(unref)?.type == Answered.done)
        #expect(guest.driver.reports.first?.contains("contexts are lost") == true)
        #expect(guest.window.isEmpty)
        #expect(try guest.window.bytes.memoryTaken() == 0)
        #expect(guest.driver.picture()?.first == [1, 2, 3, 4])
        // Nothing of it is there any more, and the driver can put it away.
        #expect(try guest.send(guest.submit()) == Answered.invalidContext)
        #expect(try guest.send(guest.map(5, at: 0)) == Answered.invalidResource)
        #expect(try flush(guest) == Answered.done)
        #expect(guest.driver.picture()?.first == [1, 2, 3, 4])
        try guest.done(guest.unmap(5), guest.unref(5))
        // The next one draws.
        try guest.renderer.goOn()
        try guest.loop.dispatch(until: { guest.driver.processor.rendering?.process.isRunning == true })
        try guest.done(guest.createContext(1))
        try guest.place(5, at: 0)
    }

    @Test func aContextThatTheRendererDoesNotMakeHasNoBlobs() throws {
        let guest = try Guest()
        guest.renderer.answer { if case .createContext = $0 { .invalid } else { .done } }
        #expect(try guest.send(guest.createContext(1)) == Answered.invalidParameter)
        #expect(try guest.send(guest.createBlob(5)) == Answered.invalidContext)
        #expect(try guest.send(guest.submit()) == Answered.invalidContext)
    }

    /// Linux makes one for its console.
    @Test func aContextThatSpeaksNothingIsNoneOfTheRenderers() throws {
        let guest = try Guest.withContext()
        try guest.done(guest.createContext(2, set: 0), guest.createBlob(5), guest.attach(5, to: 2))
        #expect(try guest.send(guest.submit(to: 2)) == Answered.invalidParameter)
        #expect(try guest.send(guest.createBlob(6, context: 2)) == Answered.invalidContext)
        #expect(guest.renderer.takeCommands().isEmpty)
        #expect(try guest.send(guest.map(5, at: 0)) == Answered.mapInfo)
        try guest.done(guest.detach(5, from: 2), guest.header(VIRTIO_GPU_CMD_CTX_DESTROY, context: 2))
        #expect(guest.renderer.takeCommands().count == 1)
        #expect(try guest.send(guest.attach(5, to: 2)) == Answered.invalidContext)
    }

    // MARK: The function

    private func function(_ options: String...) throws -> (Function, VirtioFunction<VirtioGPU>, FakeRenderer) {
        typealias GPU = VirtioFunction<VirtioGPU>
        let host = Host(loop: try EventLoop())
        let (renderer, process) = try FakeRenderer.start(host.loop)
        let options = try DeviceOptions(["renderer=venus"] + options, for: GPU.type)
        let gpu = try GPU(options: options, host: host) { port in
            try VirtioGPU(options: options, port: port) {
                try Rendering(host: $1, process, kinds: .venus, renderNode: nil, within: .seconds(60))
            }
        }
        return (try Function(gpu, host: host), gpu, renderer)
    }

    @Test(arguments: [("64M", 0x0400_0000, 0), ("16G", 0, 4)] as [(String, UInt64, UInt64)])
    func theWindowIsABARThatTheDriverFinds(size: String, low: UInt64, high: UInt64) throws {
        let (function, gpu, _) = try function("window=\(size)")
        let driver = try VirtioDriver(function, ram: GuestRAM(at: 0x10_0000, size: 1 << 16))
        // VIRTIO_PCI_CAP_SHARED_MEMORY_CFG of 24 bytes, with VIRTIO_GPU_SHM_ID_HOST_VISIBLE
        let region = try #require(driver.structures[8])
        #expect(region.bar == 0 && region.offset == 0)
        #expect(try driver.configuration(region.capability + 2, .byte) == 24)
        #expect(try driver.configuration(region.capability + 5, .byte) == 1)
        #expect(try driver.configuration(region.capability + 12, .dword) == low)
        #expect(try driver.configuration(region.capability + 16, .dword) == 0)
        #expect(try driver.configuration(region.capability + 20, .dword) == high)
        // Prefetchable, of 64 bits.
        #expect(try driver.configuration(0x10, .dword) == 0xc)
        let bar = try #require(function.region(0))
        #expect(bar.size == low | high << 32 && bar.mapped == [0..<bar.size] && bar.memory?.file != nil)
        #expect(function.configuration.msixLayout?.tableBAR == 3)
        #expect(driver.structures[1]?.bar == 4)
        #expect(try driver.offered.rawValue & 0b11111 == 0b11111)
        #expect(gpu.bars.allSatisfy { $0.layout.index != 2 })
    }

    @Test(
        arguments: [
            (["renderer=venus"], "'window=256M'"), (["renderer=virgl+venus"], "'window=256M'"),
            (["window=64M"], "'renderer=venus'"), (["renderer=virgl", "window=64M"], "'renderer=venus'"),
            (["renderer=venus", "window=96M"], "power of two"), (["renderer=venus", "window=32M"], "from 67108864"),
            (["renderer=venus", "window=32G"], "to 17179869184"), (["renderer=vulkan"], "virgl+venus"),
        ])
    func whatCanNotBeIsExplained(options: [String], part: String) throws {
        typealias GPU = VirtioFunction<VirtioGPU>
        let error = #expect(throws: OptionError.self) {
            _ = try GPU(options: DeviceOptions(options, for: GPU.type), host: Host(loop: EventLoop()))
        }
        #expect(error?.description.contains(part) == true, "\(error?.description ?? "")")
    }

    @Test func whileProgramsUseVulkanTheDeviceCanNotBeSaved() throws {
        let (function, gpu, _) = try function("window=64M")
        _ = try StateReader(function)
        let processor = gpu.driver.processor
        processor.features = VenusGuest.features
        let guest = try VenusGuest()
        processor.carryOut(guest.createContext(1).span.bytes, number: 1, from: .control, room: 24)
        let error = #expect(throws: StateError.self) { _ = try StateReader(function) }
        #expect(error?.description.contains("1 context)") == true, "\(error?.description ?? "")")
        let end = guest.header(VIRTIO_GPU_CMD_CTX_DESTROY, context: 1)
        processor.carryOut(end.span.bytes, number: 2, from: .control, room: 24)
        // A blob that its program has left mapped.
        for (number, request) in [guest.createContext(1), guest.createBlob(5), guest.map(5, at: 0), end].enumerated() {
            processor.carryOut(request.span.bytes, number: UInt64(3 + number), from: .control, room: 32)
        }
        let left = #expect(throws: StateError.self) { _ = try StateReader(function) }
        #expect(left?.description.contains("blobs in the window") == true, "\(left?.description ?? "")")
        processor.carryOut(guest.unref(5).span.bytes, number: 7, from: .control, room: 24)
        try function.host.loop.dispatch(until: { processor.window?.isEmpty == true })
        // What is in the window is part of no state.
        gpu.driver.sharedMemory?.memory.replace(at: 0, with: wire([1]).span.bytes)
        #expect(try StateReader(function).size < 1 << 16)
    }
}
