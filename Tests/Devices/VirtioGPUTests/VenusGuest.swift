import CLinux
import Device
import Linux
import Renderer
import Testing
import Waiting

@testable import VirtioGPU

/// A guest's driver that has Vulkan drawn: its requests by name. What draws is the test's.
final class VenusGuest {
    let driver: Driver
    let renderer: FakeRenderer
    let window: Window
    var loop: EventLoop { driver.processor.host.loop }

    static let features: VirtioGPU.Feature = [.virgl, .edid, .resourceUUID, .resourceBlob, .contextInit]
    /// VIRTIO_GPU_CAPSET_VENUS
    static let venus: UInt32 = 4
    static let page: UInt64 = 4096

    init(
        drawing kinds: RendererKinds = .venus, features: VirtioGPU.Feature = VenusGuest.features,
        vram: Int = 16 << 20, windowSize: Int = 64 << 20
    ) throws {
        driver = try Driver(vram: vram, features: features, drawing: kinds, windowSize: windowSize)
        renderer = try #require(driver.renderer)
        window = try #require(driver.processor.window)
    }

    /// A guest with context 1, and all that was asked for it forgotten.
    static func withContext(
        drawing kinds: RendererKinds = .venus, windowSize: Int = 64 << 20
    ) throws -> VenusGuest {
        let guest = try VenusGuest(drawing: kinds, windowSize: windowSize)
        #expect(try guest.send(guest.createContext(1)) == Answered.done)
        _ = guest.renderer.takeCommands()
        return guest
    }

    // MARK: Requests

    func header(
        _ type: virtio_gpu_ctrl_type, context: UInt32 = 0, fence: UInt64? = nil, ring: UInt8? = nil
    ) -> [UInt8] {
        wire([type.rawValue, (fence == nil ? 0 : 1) | (ring == nil ? 0 : 2)]) + wire(fence ?? 0)
            + wire([context, UInt32(ring ?? 0)])
    }

    func createContext(_ id: UInt32, set: UInt32 = VenusGuest.venus) -> [UInt8] {
        header(VIRTIO_GPU_CMD_CTX_CREATE, context: id) + wire([0, set]) + [UInt8](repeating: 0, count: 64)
    }

    func createBlob(
        _ id: UInt32, context: UInt32 = 1, memory: UInt32 = 2, flags: UInt32 = 1, blob: UInt64 = 0,
        size: UInt64 = VenusGuest.page, entries: UInt32 = 0
    ) -> [UInt8] {
        header(VIRTIO_GPU_CMD_RESOURCE_CREATE_BLOB, context: context) + wire([id, memory, flags, entries])
            + wire(blob) + wire(size) + [UInt8](repeating: 0, count: 16 * Int(entries))
    }

    func map(_ id: UInt32, at offset: UInt64) -> [UInt8] {
        header(VIRTIO_GPU_CMD_RESOURCE_MAP_BLOB) + wire([id, 0]) + wire(offset)
    }

    func unmap(_ id: UInt32) -> [UInt8] { header(VIRTIO_GPU_CMD_RESOURCE_UNMAP_BLOB) + wire([id, 0]) }

    func unref(_ id: UInt32) -> [UInt8] { header(VIRTIO_GPU_CMD_RESOURCE_UNREF) + wire([id, 0]) }

    func attach(_ id: UInt32, to context: UInt32 = 1) -> [UInt8] {
        header(VIRTIO_GPU_CMD_CTX_ATTACH_RESOURCE, context: context) + wire([id, 0])
    }

    func detach(_ id: UInt32, from context: UInt32 = 1) -> [UInt8] {
        header(VIRTIO_GPU_CMD_CTX_DETACH_RESOURCE, context: context) + wire([id, 0])
    }

    func submit(_ words: [UInt32] = [7], to context: UInt32 = 1, fence: UInt64? = nil, ring: UInt8? = nil) -> [UInt8] {
        header(VIRTIO_GPU_CMD_SUBMIT_3D, context: context, fence: fence, ring: ring)
            + wire([UInt32(words.count * 4), 0]) + wire(words)
    }

    // MARK: Answers

    /// Sends a request and waits for its reply.
    func ask(_ request: [UInt8], room: Int = 2048, from queue: Queue = .control) throws -> Driver.Answer? {
        let number = driver.start(request, from: queue, room: room)
        try loop.dispatch(until: { driver.replies[number] != nil })
        return driver.take(number)
    }

    /// - Returns: the response's type.
    @discardableResult
    func send(_ request: [UInt8], from queue: Queue = .control) throws -> UInt32? {
        try ask(request, from: queue)?.type
    }

    func done(_ requests: [UInt8]..., sourceLocation: SourceLocation = #_sourceLocation) throws {
        for request in requests {
            #expect(try send(request) == Answered.done, sourceLocation: sourceLocation)
        }
    }

    /// Makes a blob, maps it and attaches it to context 1.
    func place(
        _ id: UInt32, at offset: UInt64, blob: UInt64 = 1, size: UInt64 = VenusGuest.page,
        sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        try done(createBlob(id, blob: blob, size: size), sourceLocation: sourceLocation)
        #expect(try send(map(id, at: offset)) == Answered.mapInfo, sourceLocation: sourceLocation)
        try done(attach(id), sourceLocation: sourceLocation)
    }

    // MARK: The window

    func store(_ numbers: [UInt32], at offset: Int) {
        window.bytes.replace(at: offset, with: wire(numbers).span.bytes)
    }

    func number(at offset: Int) -> UInt64? { window.bytes.number(at: offset) }
}
