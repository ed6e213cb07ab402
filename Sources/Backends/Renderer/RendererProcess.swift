import Linux
import Worker

/// A renderer in a process of its own, as the device process sees it.
public typealias RendererProcess = WorkerProcess<RendererCommand, RendererReply>

extension RendererProcess {
    /// Starts the launcher; no renderer yet.
    ///
    /// - Parameters:
    ///   - program: the path of mediated-renderer.
    ///   - kinds: what it is for.
    ///   - renderNode: such as /dev/dri/renderD128; nil: a software renderer.
    ///   - window: how many bytes of memory it is to import parts of at most; one that can't import as much refuses to
    ///     start. 0: it imports none. ``RendererCommand/importBlob(resource:kind:piece:)``
    ///   - memoryLimit: ``memoryLimit``.
    ///   - patience: how long a renderer may go without an answer while one is due, before it is taken for hung.
    public convenience init(
        program: String, kinds: RendererKinds, renderNode: String?, window: UInt64 = 0, loop: EventLoop,
        memoryLimit: UInt64, patience: Duration = .seconds(10)
    ) throws(Errno) {
        let order = RendererOrder(kinds: kinds, renderNode: renderNode, window: window)
        try self.init(
            "renderer", program: program, arguments: order.arguments, loop: loop, memoryLimit: memoryLimit,
            patience: patience)
    }
}
