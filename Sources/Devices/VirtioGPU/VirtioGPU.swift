import CLinux
import Device
import Display
import Linux
import Virtio

/// A display that Linux drives as `virtio-gpu`: the guest draws in its own memory, and says what to copy and what to show.
///
/// There is no 3D yet. The commands of it end in ``CommandProcessor`` as refusals. VIRTIO 1.2, section 5.7
public final class VirtioGPU: VirtioDevice {
    public static let type = DeviceType(
        name: "virtio-gpu",
        summary: "A virtio display with up to four heads and a cursor: Linux drives it out of the box",
        options: [
            .init("heads", .integer(1...Head.maximumCount), default: "1", help: "How many monitors there are"),
            .init(
                "resolution", .text, default: "1024x768", help: "The mode that the monitors prefer, up to 8192x8192"),
            .init(
                "vram", .integer(videoMemoryRange), default: "64M",
                help: "The most memory that pictures may take on the host"),
            .init(
                "frame-rate", .integer(frameRates), default: "0",
                help: "How many pictures a second may be read; 0: no limit"),
            .init(
                "blob", .boolean, default: "off",
                help: "Whether the guest may show its own memory without a copy of the whole picture first"),
        ])

    public static let id = VirtioID.gpu

    /// Section 5.7.3
    struct Feature: OptionSet {
        let rawValue: UInt64

        static let edid = Feature(rawValue: 1 << 1)
        static let resourceUUID = Feature(rawValue: 1 << 2)
        static let resourceBlob = Feature(rawValue: 1 << 3)
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
    /// How many pictures a second may be read of each head; 0: any number.
    var frameRate: Int
    private var events: Event = []

    /// - Throws: `OptionError` when the heads' pictures don't fit into `vram` together.
    public init(options: DeviceOptions, port: VirtioPort) throws {
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
        frameRate = options.integer("frame-rate")
        processor = try CommandProcessor(guest: port.host.memory, heads: heads, resolution: resolution, limit: limit)
        let always: Feature = [.edid, .resourceUUID]
        features = (options.boolean("blob") ? always.union(.resourceBlob) : always).rawValue
    }

    public var memory: [MemoryFile] { [processor.file] }
    public var framebuffers: [any Framebuffer] { processor.heads }

    // MARK: Queues

    public func process(_ queue: Int) {
        guard let queue = Queue(rawValue: queue) else { return }
        processor.features = Feature(rawValue: port.features.rawValue)
        while let chain = port.next(queue.rawValue) {
            let request = chain.readBytes(limit: Command.maximumSize)
            if let response = processor.answer(request.span.bytes, from: queue, room: chain.writable) {
                chain.write(response.bytes)
            }
            port.push(chain)
        }
    }

    // MARK: Configuration

    /// `struct virtio_gpu_config`; what clears events reads as 0, and there are no capability sets.
    public var configuration: [UInt8] {
        var bytes: [UInt8] = []
        for number in [events.rawValue, 0, UInt32(processor.heads.count), 0] { bytes.append(number) }
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

    /// Puts a monitor at a head, or another in the place of the one there, or takes it away, and tells the guest.
    ///
    /// - Parameters:
    ///   - head: its number; nothing happens when there is none of it.
    ///   - resolution: what the monitor prefers; nil for none.
    public func plug(_ resolution: Resolution?, into head: Int) {
        guard processor.heads.indices.contains(head), processor.heads[head].plug(resolution) else { return }
        events.insert(.display)
        port.configurationChanged()
    }

    // MARK: Reset and state

    /// Monitors stay as they are.
    public func reset() {
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
        try processor.restore(state.commands)
        events = Event(rawValue: state.events)
    }
}
