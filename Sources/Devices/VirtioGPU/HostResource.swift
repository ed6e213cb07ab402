import Device
import Renderer

/// What the device knows of a resource that the renderer has.
struct HostResource: Codable, Equatable, Sendable {
    /// In pixels; 0 for what heads can't show.
    let width: Int
    let height: Int
    /// nil for what heads can't show.
    let format: PixelFormat?
    /// What it takes of the video memory, in bytes: an upper bound of what drivers take for the pixels alone.
    private(set) var size: Int
    /// Tells it from another of the same number.
    let serial: UInt64
    /// The renderer has ended, and with it the content; what heads have of it stays.
    private(set) var isLost = false

    /// PIPE_TEXTURE_2D, PIPE_TEXTURE_RECT and PIPE_BUFFER in virglrenderer's virgl_hw.h.
    private static let texture2D: UInt32 = 2
    private static let rectangle: UInt32 = 5
    private static let buffer: UInt32 = 0
    private static let lastTarget: UInt32 = 8
    private static let maximumLayers: UInt32 = 2048
    private static let maximumLevel: UInt32 = 14
    private static let maximumSamples: UInt32 = 32
    private static let maximumBuffer: UInt32 = 1 << 30

    /// - Throws: ``Refusal/invalidParameter`` for what no renderer has.
    init(_ parameters: RendererCommand.ResourceParameters, serial: UInt64) throws(Refusal) {
        let edge = UInt32(Resource.maximumEdge)
        let width = parameters.target == Self.buffer ? 1...Self.maximumBuffer : 1...edge
        guard parameters.target <= Self.lastTarget, width.contains(parameters.width),
            (1...edge).contains(parameters.height), (1...Self.maximumLayers).contains(parameters.depth),
            parameters.arraySize <= Self.maximumLayers, parameters.lastLevel <= Self.maximumLevel,
            parameters.samples <= Self.maximumSamples
        else { throw .invalidParameter }
        let isPicture = [Self.texture2D, Self.rectangle].contains(parameters.target) && parameters.samples <= 1
        let format = PixelFormat(virtio: parameters.format)
        self.width = isPicture && format != nil ? Int(parameters.width) : 0
        self.height = isPicture && format != nil ? Int(parameters.height) : 0
        self.format = isPicture ? format : nil
        self.serial = serial
        let layout = parameters.target == Self.buffer ? .bytes : TexelLayout(virgl: parameters.format)
        // Below 2^62: each factor is bounded.
        let texels = Int(parameters.width) * Int(parameters.height) * Int(parameters.depth)
        let layers = Int(max(1, parameters.arraySize)) * Int(max(1, parameters.samples))
        guard texels <= 1 << 40 else { throw .outOfMemory }
        let level = layout.size(width: Int(parameters.width), height: Int(parameters.height))
        let size = level * Int(parameters.depth) * layers
        // All levels together are less than a third of the first one, but each has whole blocks.
        let blocks = Int(parameters.lastLevel) * layout.blockSize * layers
        self.size = parameters.lastLevel == 0 ? size : size / 3 * 4 + 4 + blocks
    }

    /// The renderer that had it has ended.
    mutating func lose() {
        size = 0
        isLost = true
    }
}
