import Linux
import Worker

/// A renderer in a process of its own, as the device process sees it.
public typealias RendererProcess = WorkerProcess<RendererCommand, RendererReply>

extension RendererProcess {
    /// Starts the launcher; no renderer yet.
    ///
    /// - Parameters:
    ///   - program: the path of mediated-renderer.
    ///   - renderNode: such as /dev/dri/renderD128; nil: a software renderer.
    ///   - memoryLimit: ``memoryLimit``.
    ///   - patience: how long a renderer may go without an answer while one is due, before it is taken for hung.
    public convenience init(
        program: String, renderNode: String?, loop: EventLoop, memoryLimit: UInt64, patience: Duration = .seconds(10)
    ) throws(Errno) {
        try self.init(
            "renderer", program: program, arguments: renderNode.map { [$0] } ?? [], loop: loop,
            memoryLimit: memoryLimit, patience: patience)
    }
}
