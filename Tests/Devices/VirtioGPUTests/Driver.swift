import CLinux
import Device
import Display
import GuestMemory
import Linux
import Renderer
import Testing

@testable import VirtioGPU

/// The driver's side of a command processor: requests by name, and the guest's memory behind them.
final class Driver {
    static let memorySize = 1 << 20
    static let features: VirtioGPU.Feature = [.edid, .resourceUUID, .resourceBlob]

    let processor: CommandProcessor
    let memory: MemoryFile
    /// What draws, when there is 3D.
    let renderer: FakeRenderer?
    /// What the device has told the administrator.
    private(set) var reports: [String] = []
    /// The guest's memory begins here; nothing else is mapped.
    let base: UInt64 = 0x10_0000
    private var lastNumber: UInt64 = 0
    /// What was replied and not taken, by the request's number: nil where the driver took no response.
    private(set) var replies: [UInt64: Response?] = [:]
    /// Called with each reply.
    var onReply: (Response?) -> Void = { _ in }

    init(
        heads: Int = 2, vram: Int = 1 << 20, frameRate: Int = 0, features: VirtioGPU.Feature = Driver.features,
        drawing kinds: RendererKinds? = nil, windowSize: Int = 64 << 20
    ) throws {
        let host = Host(loop: try EventLoop())
        var (renderer, rendering, window): (FakeRenderer?, Rendering?, Window?)
        if let kinds {
            let (fake, process) = try FakeRenderer.start(host.loop)
            renderer = fake
            rendering = try Rendering(host: host, process, kinds: kinds, renderNode: nil, within: .seconds(60))
            window = try Window(
                host.deviceMemory.take("window", size: windowSize, isBehindBAR: true), loop: host.loop)
        }
        self.renderer = renderer
        memory = try MemoryFile(name: "guest", size: Self.memorySize)
        try host.memory.map(
            address: base, size: UInt64(Self.memorySize), access: [.read, .write],
            backing: .file(memory.descriptor.duplicate(), offset: 0))
        processor = try CommandProcessor(
            host: host, heads: heads, resolution: Resolution("1024x768"), limit: vram,
            frameRate: frameRate, rendering: rendering, window: window)
        processor.features = features
        rendering?.report = { [unowned self] in reports.append($0) }
        processor.onReply = { [unowned self] in
            #expect(replies.updateValue($1, forKey: $0) == nil, "a request is replied to once")
            onReply($1)
        }
    }

    /// Sends bytes, and doesn't wait for the reply.
    ///
    /// - Returns: the request's number.
    func start(_ bytes: [UInt8], from queue: Queue = .control, room: Int = 2048) -> UInt64 {
        lastNumber += 1
        processor.carryOut(bytes.span.bytes, number: lastNumber, from: queue, room: room)
        return lastNumber
    }

    // MARK: Guest memory

    func put(_ bytes: [UInt8], at offset: Int) {
        memory.replace(at: offset, with: bytes.span.bytes)
    }

    /// Fills guest memory with numbers that tell their place.
    func fill(from offset: Int, pixels: Int, seed: UInt32 = 0) {
        put(wire((0..<pixels).map { UInt32($0) &+ seed }), at: offset)
    }

    // MARK: Requests

    /// A response: its type, the rest of its header, and what follows.
    struct Answer: Equatable {
        var type: UInt32
        var flags: UInt32
        var fence: UInt64
        var context: UInt32
        var ring: UInt8
        var payload: [UInt8]

        init(_ bytes: [UInt8]) {
            func number(_ offset: Int) -> UInt32 { word(bytes, offset) }
            type = number(0)
            flags = number(4)
            fence = UInt64(number(8)) | UInt64(number(12)) << 32
            context = number(16)
            ring = bytes[20]
            payload = Array(bytes[24...])
        }
    }

    /// Sends bytes.
    ///
    /// - Returns: nil when there was no response.
    func send(_ bytes: [UInt8], from queue: Queue = .control, room: Int = 2048) -> Answer? {
        take(start(bytes, from: queue, room: room))
    }

    /// The response to a request.
    func take(_ number: UInt64) -> Answer? {
        guard let response = replies.removeValue(forKey: number)??.bytes else { return nil }
        return Answer(response)
    }

    /// Sends a command without a fence.
    ///
    /// - Returns: the response's type.
    @discardableResult
    func send(_ type: virtio_gpu_ctrl_type, _ body: [UInt8] = [], from queue: Queue = .control) -> UInt32? {
        send(header(type) + body, from: queue)?.type
    }

    @discardableResult
    func create(_ id: UInt32, _ width: UInt32, _ height: UInt32, format: UInt32 = 2) -> UInt32? {
        send(VIRTIO_GPU_CMD_RESOURCE_CREATE_2D, wire([id, format, width, height]))
    }

    /// - Parameter entries: offsets into guest memory, and lengths.
    @discardableResult
    func attach(_ id: UInt32, _ entries: [(Int, Int)]) -> UInt32? {
        send(VIRTIO_GPU_CMD_RESOURCE_ATTACH_BACKING, wire([id, UInt32(entries.count)]) + self.entries(entries))
    }

    func entries(_ entries: [(Int, Int)]) -> [UInt8] {
        entries.flatMap { wire(base + UInt64($0.0)) + wire([UInt32($0.1), 0]) }
    }

    @discardableResult
    func transfer(_ id: UInt32, _ area: [UInt32], offset: UInt64 = 0) -> UInt32? {
        send(VIRTIO_GPU_CMD_TRANSFER_TO_HOST_2D, wire(area) + wire(offset) + wire([id, 0]))
    }

    @discardableResult
    func flush(_ id: UInt32, _ area: [UInt32]) -> UInt32? {
        send(VIRTIO_GPU_CMD_RESOURCE_FLUSH, wire(area) + wire([id, 0]))
    }

    @discardableResult
    func show(_ id: UInt32, _ area: [UInt32], at head: UInt32 = 0) -> UInt32? {
        send(VIRTIO_GPU_CMD_SET_SCANOUT, wire(area) + wire([head, id]))
    }

    @discardableResult
    func unref(_ id: UInt32) -> UInt32? {
        send(VIRTIO_GPU_CMD_RESOURCE_UNREF, wire([id, 0]))
    }

    @discardableResult
    func createBlob(_ id: UInt32, memory: UInt32 = 1, size: UInt64, _ entries: [(Int, Int)]) -> UInt32? {
        send(
            VIRTIO_GPU_CMD_RESOURCE_CREATE_BLOB,
            wire([id, memory, 0, UInt32(entries.count)]) + wire(UInt64(0)) + wire(size) + self.entries(entries))
    }

    @discardableResult
    func showBlob(
        _ id: UInt32, _ area: [UInt32], at head: UInt32 = 0, width: UInt32, height: UInt32, format: UInt32 = 2,
        stride: UInt32, offset: UInt32 = 0
    ) -> UInt32? {
        send(
            VIRTIO_GPU_CMD_SET_SCANOUT_BLOB,
            wire(area) + wire([head, id, width, height, format, 0, stride, 0, 0, 0, offset, 0, 0, 0]))
    }

    @discardableResult
    func point(
        _ id: UInt32, at head: UInt32 = 0, x: Int32 = 0, y: Int32 = 0, hotX: UInt32 = 0, hotY: UInt32 = 0
    ) -> UInt32? {
        let place = [head, UInt32(bitPattern: x), UInt32(bitPattern: y), 0]
        return send(VIRTIO_GPU_CMD_UPDATE_CURSOR, wire(place + [id, hotX, hotY, 0]), from: .cursor)
    }

    // MARK: Pictures

    /// The pixels that a head shows, as numbers; nil while it shows none.
    func picture(_ head: Int = 0) -> [[UInt32]]? {
        processor.heads[head].scanout.map(pixels)
    }

    func pixels(_ scanout: Scanout) -> [[UInt32]] {
        (0..<scanout.height).map { y in
            var line = [UInt8](repeating: 0, count: scanout.width * 4)
            let size = line.count
            var span = line.mutableSpan
            var bytes = span.mutableBytes
            scanout.memory.copy(at: scanout.offset + y * scanout.stride, count: size, into: &bytes)
            return (0..<scanout.width).map { word(line, $0 * 4) }
        }
    }
}

/// The header of a request without a fence.
func header(_ type: virtio_gpu_ctrl_type, flags: UInt32 = 0, fence: UInt64 = 0) -> [UInt8] {
    wire([type.rawValue, flags]) + wire(fence) + wire([0, 0])
}

func wire(_ numbers: [UInt32]) -> [UInt8] {
    numbers.flatMap { number in (0..<4).map { UInt8(truncatingIfNeeded: number >> UInt32(8 * $0)) } }
}

func wire(_ number: UInt64) -> [UInt8] {
    (0..<8).map { UInt8(truncatingIfNeeded: number >> UInt64(8 * $0)) }
}

func word(_ bytes: [UInt8], _ offset: Int) -> UInt32 {
    (0..<4).reduce(0) { $0 | UInt32(bytes[offset + $1]) << UInt32(8 * $1) }
}

/// Responses' types. `enum virtio_gpu_ctrl_type`
enum Answered {
    static let done: UInt32 = 0x1100
    static let displayInfo: UInt32 = 0x1101
    static let edid: UInt32 = 0x1104
    static let uuid: UInt32 = 0x1105
    static let mapInfo: UInt32 = 0x1106
    static let unspecified: UInt32 = 0x1200
    static let outOfMemory: UInt32 = 0x1201
    static let invalidScanout: UInt32 = 0x1202
    static let invalidResource: UInt32 = 0x1203
    static let invalidContext: UInt32 = 0x1204
    static let invalidParameter: UInt32 = 0x1205
}
