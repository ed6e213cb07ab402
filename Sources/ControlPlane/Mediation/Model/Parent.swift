import DeviceCatalog
import Glibc

/// What backs vGPUs, as a physical GPU backs mediated devices: it has so much video memory to share out, and perhaps a
/// way to draw in 3D.
public struct Parent: Equatable, Codable, Sendable {
    public var name: String
    /// One line.
    public var description: String
    /// What all its vGPUs may have together, in bytes.
    public var videoMemory: Int
    /// What draws its vGPUs' 3D; nil: they have none unless they ask for it.
    public var renderer: Renderer?

    public enum Renderer: Equatable, Codable, Sendable {
        /// The processor: Mesa's llvmpipe.
        case software
        /// The path of a graphics device's render node. `/dev/dri/renderD128`
        case node(String)
    }

    public init(name: String, description: String, videoMemory: Int, renderer: Renderer? = nil) {
        self.name = name
        self.description = description
        self.videoMemory = videoMemory
        self.renderer = renderer
    }

    /// Whether it is one for vGPUs of a type: those with a renderer are for devices that can have one.
    public func backs(_ type: InstanceType) -> Bool {
        guard renderer != nil else { return true }
        return DeviceCatalog.types.contains {
            $0.name == type.device && $0.options.contains { $0.name == Self.renderer }
        }
    }

    /// The options that say what draws. Whoever defines a vGPU can't choose them: a render node may be any file of the
    /// host's.
    static let renderer = "renderer"
    static let renderNode = "render-node"

    /// What pieces of a vGPU's window are handed to Vulkan's drivers by.
    static let bufferDevice = "/dev/udmabuf"

    /// The group that may open a device file, such as `render`; nil for root's.
    static func group(ofNode path: String) -> UInt32? {
        var status = stat()
        return stat(path, &status) == 0 && status.st_gid != 0 ? status.st_gid : nil
    }

    /// What it adds to the options of its vGPUs' devices.
    var options: [Attribute] {
        switch renderer {
        case nil: []
        case .software: [Attribute(Self.renderer, "virgl")]
        case .node(let path): [Attribute(Self.renderer, "virgl"), Attribute(Self.renderNode, path)]
        }
    }
}
