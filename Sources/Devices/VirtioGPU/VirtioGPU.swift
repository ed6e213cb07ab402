import CLinux
import Device
import Display
import Linux
import PCI
import Renderer
import Virtio

/// A display that Linux drives as `virtio-gpu`: the guest draws in its own memory, and says what to copy and what to
/// show; or it has its 3D drawn by the host's OpenGL and Vulkan. VIRTIO 1.2, section 5.7
public final class VirtioGPU: VirtioDevice, DisplayDevice, MonitorDevice, MemoryKeepingDevice {
    public static let type = DeviceType(
        name: "virtio-gpu",
        summary: "A virtio display with up to four heads, a cursor and 3D: Linux drives it out of the box",
        options: [
            .init("heads", .integer(1...Head.maximumCount), default: "1", help: "How many monitors there are"),
            .init(
                "resolution", .text, default: "1024x768", help: "The mode that the monitors prefer, up to 8192x8192"),
            .init(
                "vram", .integer(videoMemoryRange), default: "64M",
                help: "The most memory that pictures and contexts of 3D may take on the host"),
            .init(
                "frame-rate", .integer(Quota.frameRates), default: "0",
                help: "How many pictures a second a head shows, and may be read of it; 0: no limit"),
            .init(
                "blob", .boolean, default: "off",
                help: "Whether the guest may show its own memory without a copy of the whole picture first"),
            .init(
                "renderer", .choice(["none"] + RendererKinds.words), default: "none",
                help: "What draws 3D: 'virgl' with the host's OpenGL, 'venus' with its Vulkan, both by virglrenderer"),
            .init(
                "window", .integer(Window.sizes),
                help: "The memory that the guest's Vulkan programs share with the host, a power of two; for 'venus'"),
            .init(
                "render-node", .text,
                help: "The graphics device that draws, such as /dev/dri/renderD128; software unless given"),
            .init(
                "renderer-timeout", .integer(1...600), default: "10",
                help: "After how many seconds without an answer a renderer is ended and replaced"),
        ], registers: configurationRegisters, mappedMemory: { $0.integer("window") })

    /// `virtio_gpu_config`, section 5.7.4
    private static let configurationRegisters = [
        "events_read", "events_clear", "num_scanouts", "num_capsets",
    ].enumerated().map { index, name in
        RegisterName(
            name: name, bar: 0, offset: UInt64(4 * index), width: 4, isReadable: true,
            isWritable: name == "events_clear", fields: name.hasPrefix("events") ? .flags("DISPLAY") : [])
    }

    public static let id = VirtioID.gpu

    /// Section 5.7.3
    struct Feature: OptionSet {
        let rawValue: UInt64

        static let virgl = Feature(rawValue: 1 << 0)
        static let edid = Feature(rawValue: 1 << 1)
        static let resourceUUID = Feature(rawValue: 1 << 2)
        static let resourceBlob = Feature(rawValue: 1 << 3)
        static let contextInit = Feature(rawValue: 1 << 4)
    }

    /// Section 5.7.4.2
    struct Event: OptionSet {
        let rawValue: UInt32

        /// Monitors came, went or changed.
        static let display = Event(rawValue: 1 << 0)
    }

    public let features: UInt64
    /// A chain may have no more descriptors than its queue: the longest request, cut into pages by Linux, has 258.
    public let queueSizes = [512, 16]

    private let port: VirtioPort
    let processor: CommandProcessor
    /// Fires when the next picture is to be shown.
    private let timer: TimerFD
    private var timerWatch: EventLoop.Token?
    private var events: Event = []
    /// What the processor has and has not replied to, by the request's number.
    private var chains: [UInt64: Chain] = [:]
    private var requestCount: UInt64 = 0

    /// - Throws: `OptionError` when the heads' pictures don't fit into `vram` together, or nothing can draw 3D.
    public convenience init(options: DeviceOptions, port: VirtioPort) throws {
        try self.init(options: options, port: port, rendering: Self.rendering)
    }

    /// - Parameter rendering: makes what draws 3D; nil: there is none.
    init(
        options: DeviceOptions, port: VirtioPort, rendering: (DeviceOptions, Host) throws -> Rendering?
    ) throws {
        let heads = options.integer("heads")
        let resolution = try Resolution(options.text("resolution") ?? "")
        let limit = options.integer("vram")
        guard resolution.bytes * heads <= limit else {
            throw OptionError(
                "A resolution of \(resolution) at \(heads == 1 ? "one head" : "\(heads) heads") needs "
                    + "\((resolution.bytes * heads + (1 << 20) - 1) >> 20)M of memory but 'vram' is \(limit >> 20)M. "
                    + "Give more, or choose a smaller resolution.")
        }
        self.port = port
        timer = try TimerFD()
        let window = try Self.window(options, port.host)
        let rendering = try rendering(options, port.host)
        processor = try CommandProcessor(
            host: port.host, heads: heads, resolution: resolution, limit: limit,
            frameRate: options.integer("frame-rate"), rendering: rendering, window: window)
        var features: Feature = [.edid, .resourceUUID]
        if options.boolean("blob") || window != nil { features.insert(.resourceBlob) }
        if rendering != nil { features.formUnion([.virgl, .contextInit]) }
        self.features = features.rawValue
        // Neither queue was looked into meanwhile, and a driver that has said so once doesn't say it again.
        rendering?.onRoom = { [unowned self] in for queue in Queue.allCases { process(queue.rawValue) } }
        rendering?.report = { [host = port.host] in host.report($0) }
        processor.isAwaited = { [port] in port.isAwaited($0) }
        processor.onReply = { [unowned self] in reply($1, to: $0) }
        processor.onAlarm = { [timer] in timer.set($0 == 0 ? nil : .nanoseconds($0)) }
        timerWatch = try port.host.loop.watch("next picture", timer.descriptor, for: .readable) { [unowned self] _ in
            timer.consume()
            processor.showDue()
        }
    }

    deinit {
        if let timerWatch { port.host.loop.unwatch(timerWatch) }
    }

    public var sharedMemory: VirtioSharedMemory? {
        processor.window.map {
            VirtioSharedMemory(id: UInt8(VIRTIO_GPU_SHM_ID_HOST_VISIBLE.rawValue), memory: $0.bytes)
        }
    }
    public var memory: [MappedBytes] { [processor.memory.bytes] }
    public var heads: [any DisplayHead] { processor.heads.all }

    // MARK: Queues

    public func process(_ queue: Int) {
        guard let queue = Queue(rawValue: queue) else { return }
        processor.features = Feature(rawValue: port.features.rawValue)
        while processor.rendering?.isCongested != true, let chain = port.pop(queue.rawValue) {
            let request = chain.readBytes(limit: Command.maximumSize)
            guard chain.isInFlight else { return }
            requestCount += 1
            chains[requestCount] = chain
            processor.carryOut(request.span.bytes, number: requestCount, from: queue, room: chain.writable)
        }
    }

    private func reply(_ response: Response?, to request: UInt64) {
        guard let chain = chains.removeValue(forKey: request) else { return }
        if let missing = response?.missing, port.retry(chain, after: missing) { return }
        if let response { chain.write(response.bytes) }
        port.addUsed(chain)
    }

    public func setRunning(_ running: Bool) {
        guard !running else { return }
        processor.showPostponed()
        processor.rendering?.settle()
    }

    // MARK: Configuration

    /// `struct virtio_gpu_config`; what clears events reads as 0.
    public var configuration: [UInt8] {
        var bytes: [UInt8] = []
        let sets = processor.rendering?.capabilitySets.count ?? 0
        for number in [events.rawValue, 0, UInt32(processor.heads.all.count), UInt32(sets)] { bytes.append(number) }
        return bytes
    }

    public func writeConfiguration(_ bytes: RawSpan, at offset: Int) {
        // In pieces of any width; all other registers can't be written.
        let register = MemoryLayout<virtio_gpu_config>.offset(of: \.events_clear) ?? 0
        for index in 0..<bytes.byteCount {
            let place = offset + index - register
            guard (0..<4).contains(place) else { continue }
            let byte = bytes.unsafeLoad(fromByteOffset: index, as: UInt8.self)
            events.subtract(Event(rawValue: UInt32(byte) << UInt32(8 * place)))
        }
    }

    // MARK: Monitors

    public func connect(_ monitor: Monitor?, to head: Int) throws(MonitorError) {
        guard try processor.heads.connect(monitor, to: head) else { return }
        events.insert(.display)
        port.configurationChanged()
    }

    // MARK: Reset and state

    /// What Vulkan has is the host's driver's: no state can hold it.
    public func requireSavable() throws(StateError) {
        let count = processor.objects?.venusCount ?? 0
        guard count == 0 else {
            throw StateError(
                "Programs of the guest use Vulkan (\(count) \(count == 1 ? "context" : "contexts")): what they have is "
                    + "the host's driver's, and can't be saved. End them first.")
        }
        guard processor.window?.isEmpty != false else {
            throw StateError(
                "The guest has memory of Vulkan's mapped (blobs in the window), which can't be saved. Its driver "
                    + "unmaps it when the programs that have it have ended.")
        }
    }

    /// Monitors stay as they are.
    public func reset() {
        // Nobody waits for what is replied to meanwhile.
        chains = [:]
        processor.reset()
        events = []
    }

    public struct State: Codable, Sendable {
        var commands: CommandProcessor.State
        var events: UInt32
    }

    public var state: State { State(commands: processor.state, events: events.rawValue) }

    public func restore(_ state: State) throws(StateError) {
        guard Event.display.isSuperset(of: Event(rawValue: state.events)) else {
            throw StateError("The pending events are \(state.events), with some that there are not.")
        }
        // Nobody waits for what is replied to meanwhile: these chains come once more.
        let before = chains
        chains = [:]
        do throws(StateError) {
            try processor.restore(state.commands)
        } catch {
            chains = before
            throw error
        }
        events = Event(rawValue: state.events)
    }
}
