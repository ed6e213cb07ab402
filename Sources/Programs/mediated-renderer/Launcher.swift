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
        let renderer: VirglRenderer
        do {
            renderer = try VirglRenderer(order.kinds, renderNode: order.renderNode)
            // The driver is loaded now, and what it needs is open.
            try Sandbox.confineRenderer(usesDevice: order.renderNode != nil, memory: memory)
        } catch {
            explain(error)
            return WorkerLauncher.software
        }
        var library = VirglLibrary(renderer)
        do throws(WorkerEnd) {
            try library.serve(&endpoint)
            return 0
        } catch {
            explain(error)
            return WorkerLauncher.software
        }
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
