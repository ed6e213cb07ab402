import Linux
import Renderer
import Virgl
import Worker

/// Starts renderers for one device process, and is one itself when it is a copy of the first.
@main
struct Launcher {
    private static let launcher = WorkerLauncher("mediated-renderer")

    static func main() {
        guard let order = RendererOrder(CommandLine.arguments.dropFirst()), WorkerLauncher.isCalled else {
            launcher.refuse()
        }
        launcher.run { session, memory in work(try WorkerEndpoint(session), order, memory: memory) }
    }

    /// Carries out commands until the device process closes its end.
    ///
    /// - Returns: the status to end with.
    private static func work(
        _ endpoint: consuming WorkerEndpoint<RendererCommand, RendererReply>, _ order: RendererOrder, memory: UInt64
    ) -> Int32 {
        do {
            var library = try start(order, memory)
            try library.serve(&endpoint)
            return 0
        } catch {
            explain(error)
            return WorkerLauncher.software
        }
    }

    /// Starts what an order is for, and confines this process: drivers are loaded then, and what they need is open.
    private static func start(_ order: RendererOrder, _ memory: UInt64) throws -> VirglLibrary {
        let usesDevice = order.renderNode != nil && order.kinds.contains(.virgl)
        guard order.kinds.contains(.venus) else {
            let renderer = try VirglRenderer(order.kinds, renderNode: order.renderNode)
            try Sandbox.confineRenderer(usesDevice: usesDevice, memory: memory)
            return VirglLibrary(renderer)
        }
        let venus = try Venus(order, memory: memory)
        let renderer = try VirglRenderer(order.kinds, renderNode: order.renderNode, server: venus.server.socket)
        try venus.server.watch()
        // Each blob has one, for as long as it is there.
        try Sandbox.confineRenderer(
            usesDevice: usesDevice, commands: [Udmabuf.command], descriptors: 16_384, memory: memory)
        return VirglLibrary(renderer, udmabuf: venus.udmabuf)
    }

    private static func explain(_ error: any Error) {
        switch error {
        case WorkerEnd.violation(let violation):
            launcher.say("What the device process asks is wrong: \(violation).")
        case let error as VirglRenderer.StartError: launcher.say("\(error)")
        case let error as Sandbox.Failure: launcher.say("The renderer can't be confined. \(error)")
        default: launcher.say("The renderer stopped: \(error).")
        }
    }
}
