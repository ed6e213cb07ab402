import Glibc
import Linux
import Renderer

/// What Venus takes besides the library: found, checked and started before the library is, so that who starts a
/// renderer is told what is missing.
public struct Venus {
    public let udmabuf: Udmabuf?
    public let server: RenderServer
    /// The host's Vulkan driver.
    public let driver: String

    /// Only for a process with one thread.
    ///
    /// - Parameter memory: how many bytes each process of the render server may take.
    public init(_ order: RendererOrder, memory: UInt64) throws(VirglRenderer.StartError) {
        if let renderNode = order.renderNode { try Self.check(renderNode) }
        udmabuf = order.window > 0 ? try Self.udmabuf(for: order.window) : nil
        driver = try VulkanDriver.find(renderNode: order.renderNode, memory: memory)
        server = try RenderServer(renderNode: order.renderNode, memory: memory)
    }

    /// - Throws: where the graphics device isn't one that this process can use.
    private static func check(_ renderNode: String) throws(VirglRenderer.StartError) {
        let device = open(renderNode, O_RDWR | O_CLOEXEC)
        guard device >= 0 else { throw .init("'\(renderNode)' can't be opened: \(Errno(rawValue: errno)).") }
        close(device)
    }

    private static func udmabuf(for window: UInt64) throws(VirglRenderer.StartError) -> Udmabuf {
        if let limit = Udmabuf.limit, limit < window {
            let mebibytes = (window + 1 << 20 - 1) >> 20
            throw .init(
                "One buffer of \(Udmabuf.path) has \(limit >> 20) MiB at most, and the window \(window >> 20): "
                    + "write \(mebibytes) to \(Udmabuf.limitPath), or boot with udmabuf.size_limit_mb=\(mebibytes).")
        }
        do throws(Errno) { return try Udmabuf() } catch {
            guard error == .noSuchFileOrDirectory else {
                let way = error == .permissionDenied ? ": who runs this must be in its group (kvm on Debian)" : ""
                throw .init("\(Udmabuf.path) can't be opened: \(error)\(way).")
            }
            throw .init(
                "The kernel has no \(Udmabuf.path): load its module by 'modprobe udmabuf', or take a kernel with "
                    + "CONFIG_UDMABUF, such as Debian 13's.")
        }
    }
}
