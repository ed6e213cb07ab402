import Device
import Linux
import Renderer

/// What the options say about 3D, and whether it can be had.
extension VirtioGPU {
    /// - Throws: `OptionError` for a size that no BAR can have, or one that is missing, or of no use.
    static func window(_ options: DeviceOptions, _ host: Host) throws -> Window? {
        let size = options.integer("window")
        let word = options.text("renderer") ?? ""
        guard RendererKinds(word)?.contains(.venus) == true else {
            guard size == 0 else { throw OptionError("'window' needs 'renderer=venus' or 'renderer=virgl+venus'.") }
            return nil
        }
        guard size > 0 else {
            throw OptionError(
                "'renderer=\(word)' needs a window, the memory that Vulkan programs share with the host: such as "
                    + "'window=256M'.")
        }
        guard size.nonzeroBitCount == 1 else {
            throw OptionError("Option 'window' is \(size >> 20)M but must be a power of two: such as 256M, 1G or 4G.")
        }
        return try Window(host.deviceMemory.take("window", size: size, isBehindBAR: true), loop: host.loop)
    }

    /// - Throws: `OptionError` when it can't.
    static func rendering(_ options: DeviceOptions, _ host: Host) throws -> Rendering? {
        let renderNode = options.text("render-node")
        guard let kinds = RendererKinds(options.text("renderer") ?? "") else {
            guard renderNode == nil else {
                throw OptionError("'render-node' needs 'renderer=virgl' or 'renderer=venus'.")
            }
            return nil
        }
        guard host.hasGuestFiles else {
            throw OptionError(
                "3D can't be had here: a renderer maps the guest's memory, and it is no files. Choose 'renderer=none'.")
        }
        return try Rendering(
            host: host, kinds: kinds, renderNode: renderNode, videoMemory: options.integer("vram"),
            window: options.integer("window"), seconds: options.integer("renderer-timeout"))
    }
}
