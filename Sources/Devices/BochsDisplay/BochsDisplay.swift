import Device
import Display
import Linux
import PCI

/// A framebuffer card: the one that QEMU calls `bochs-display` and Linux drives as `bochs-drm`.
///
/// The guest writes pixels to video memory, which it has mapped, and sets a mode in a handful of registers.
/// There is no interrupt, no DMA and no acceleration. The registers are those of the Bochs display
/// interface (DISPI), with the VGA ports that matter to a mode without VGA: palette, blanking and retrace.
public final class BochsDisplay: Device {
    public static let type = DeviceType(
        name: "bochs-display",
        summary: "A simple display: a framebuffer that Linux, UEFI and SeaBIOS drive out of the box",
        options: [
            .init("vram", .integer(videoMemoryRange), default: "16M", help: "Video memory, a multiple of 64K"),
            .init(
                "aperture", .integer(videoMemoryRange),
                help: "What vram can grow to, a power of two; unless given the least that holds it"),
            .init("resolution", .text, default: "1024x768", help: "The mode that the monitor prefers, up to 8192x8192"),
            .init("refresh", .integer(30...240), default: "60", help: "The preferred mode's frames per second"),
            .init(
                "frame-rate", .integer(Quota.frameRates), default: "0",
                help: "How many pictures a second may be read; 0: no limit"),
            .init("edid", .boolean, default: "on", help: "Whether a monitor describes itself to the guest"),
        ],
        registers: registers.names(bar: 2, fields: fields) { register in
            if case .dispi(let index) = register { "dispi.\(index)" } else { String(describing: register) }
        },
        mappedMemory: aperture)

    public let identity = PCIIdentity(vendor: 0x1234, device: 0x1111, class: .displayOther, revision: 2)
    public var bars: [BAR] {
        [
            .memory(
                0, size: UInt64(videoMemory.size), prefetchable: true, memory: videoMemory,
                mapped: [0..<UInt64(videoMemoryLimit)]),
            .memory(2, size: 4096),
        ]
    }

    public internal(set) var state = State()

    /// The memory behind BAR 0.
    let videoMemory: MappedBytes
    /// How much of it the guest may use, in bytes.
    var videoMemoryLimit: Int
    private let overdraft: Overdraft
    var frameRate: Int
    /// What stands at the beginning of BAR 2; empty without a monitor.
    private let edid: [UInt8]
    public let damage = Damage(comparingPixels: true)

    /// - Throws: `OptionError` for impossible sizes, or when `vram` can't hold the resolution with 32 bits per pixel.
    public init(options: DeviceOptions, host: Host) throws {
        let limit = options.integer("vram")
        let aperture = try Self.aperture(options)
        let resolution = try Resolution(options.text("resolution") ?? "")
        guard resolution.bytes <= limit else {
            throw OptionError(
                "A resolution of \(resolution) needs \(resolution.megabytes)M of video memory "
                    + "but 'vram' is \(limit % (1 << 20) == 0 ? "\(limit >> 20)M" : "\(limit >> 10)K"). "
                    + "Give more, or choose a smaller resolution.")
        }
        videoMemory = try host.deviceMemory.take("vram", size: aperture, isBehindBAR: true)
        videoMemoryLimit = limit
        overdraft = try Overdraft(loop: host.loop)
        frameRate = options.integer("frame-rate")
        edid =
            options.boolean("edid")
            ? EDID(width: resolution.width, height: resolution.height, refresh: options.integer("refresh")).bytes : []
        overdraft.display = self
        // Nothing is freed here: the guest may have been given more since these options were chosen, and draw there.
        overdraft.isPossible = hasMoreThanTheLimit
    }

    /// Frees the pages that are beyond the limit, now and from now on.
    func followLimit() {
        giveBackTheRest()
        overdraft.isPossible = hasMoreThanTheLimit
    }

    /// Whether a client may make video memory take more than the limit. Memory that is no file is all there from the
    /// beginning.
    private var hasMoreThanTheLimit: Bool { videoMemoryLimit < videoMemory.size && videoMemory.file != nil }

    // MARK: Registers

    public func read(_ bar: Int, at offset: UInt64, width: AccessWidth) -> UInt64 {
        guard bar == 2 else { return 0 }
        if offset < Self.edidSize { return readEDID(at: Int(offset), count: width.rawValue) }
        return Self.registers.read(at: offset, width: width) { value(of: $0) }
    }

    public func write(_ bar: Int, at offset: UInt64, width: AccessWidth, value: UInt64) {
        guard bar == 2 else { return }
        Self.registers.write(at: offset, width: width, value: value) { store($1, to: $0) }
    }

    private func readEDID(at offset: Int, count: Int) -> UInt64 {
        (0..<count).reduce(0) { value, index in
            let place = offset + index
            return place < edid.count ? value | UInt64(edid[place]) << UInt64(index * 8) : value
        }
    }

    private func value(of register: Register) -> UInt64 {
        switch register {
        case .attribute: UInt64(state.vga.attributeIndex)
        case .miscellaneous: UInt64(state.vga.miscellaneous)
        case .pixelMask: UInt64(state.dac.pixelMask)
        case .dacState: state.dac.isReading ? 3 : 0
        case .dacWriteIndex: UInt64(state.dac.writeIndex)
        case .dacData: UInt64(state.dac.readComponent())
        case .inputStatus: UInt64(state.vga.readInputStatus())
        case .dispi(let register): UInt64(state.dispi.read(register, videoMemory: videoMemoryLimit))
        case .extensionSize: Self.extensionSize
        case .byteOrder: UInt64((state.bigEndian ? ByteOrder.big : .little).rawValue)
        case .dacReadIndex: 0
        }
    }

    private func store(_ write: RegisterWrite, to register: Register) {
        let byte = UInt8(truncatingIfNeeded: write.value)
        switch register {
        case .attribute: state.vga.writeAttribute(byte)
        case .miscellaneous: state.vga.miscellaneous = byte
        case .pixelMask: state.dac.pixelMask = byte
        case .dacReadIndex: state.dac.startReading(at: byte)
        case .dacWriteIndex: state.dac.startWriting(at: byte)
        case .dacData: state.dac.writeComponent(byte, bits: state.dispi.enable.contains(.dac8Bit) ? 8 : 6)
        case .dispi(let register): state.dispi.write(register, write, videoMemory: videoMemoryLimit)
        case .byteOrder: storeByteOrder(UInt32(truncatingIfNeeded: write.value))
        case .dacState, .inputStatus, .extensionSize: break
        }
    }

    private func storeByteOrder(_ value: UInt32) {
        // Any other value is no byte order, and is ignored.
        guard let order = ByteOrder(rawValue: value) else { return }
        state.bigEndian = order == .big
    }

    // MARK: State

    public func reset() {
        state = State()
    }

    public func restore(_ state: State) throws(StateError) {
        try state.validate(videoMemory: videoMemoryLimit)
        self.state = state
        giveBackTheRest()
    }
}
