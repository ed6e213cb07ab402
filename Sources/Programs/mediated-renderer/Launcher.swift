import Glibc
import JSON
import Linux
import Renderer
import Virgl
import Worker

/// Starts renderers for one device process, and is one itself when it is a copy of the first.
@main
struct Launcher {
    private static let launcher = WorkerLauncher("mediated-renderer")

    static func main() {
        let arguments = CommandLine.arguments.dropFirst()
        if arguments.last == describeOption, let order = RendererOrder(arguments.dropLast()) { describe(order) }
        guard let order = RendererOrder(arguments), WorkerLauncher.isCalled else { launcher.refuse() }
        launcher.run { session, memory in work(try WorkerEndpoint(session), order, memory: memory) }
    }

    private static let describeOption = "--describe"
    /// What each process of a renderer that is described may take, in bytes.
    private static let describedMemory: UInt64 = 1 << 30

    /// Says what a renderer has on this machine: its kinds and, with Venus, the host's Vulkan driver, as a line of JSON;
    /// or why there is none.
    private static func describe(_ order: RendererOrder) -> Never {
        do {
            let venus = try prepare(order, describedMemory).venus
            let kinds = order.kinds.description.split(separator: "+").map { JSON.string(String($0)) }
            var description: JSON.Object = ["kinds": .array(kinds)]
            description["vulkan"] = venus.map { .string($0.driver) }
            print(JSON.object(description).text)
            exit(0)
        } catch {
            explain(error)
            exit(WorkerLauncher.software)
        }
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
        let (renderer, venus) = try prepare(order, memory)
        let usesDevice = order.renderNode != nil && order.kinds.contains(.virgl)
        guard let venus else {
            try Sandbox.confineRenderer(usesDevice: usesDevice, memory: memory)
            return VirglLibrary(renderer)
        }
        try venus.server.watch()
        // Each blob has one, for as long as it is there.
        try Sandbox.confineRenderer(
            usesDevice: usesDevice, commands: [Udmabuf.command], descriptors: 16_384, memory: memory)
        return VirglLibrary(renderer, udmabuf: venus.udmabuf)
    }

    private static func prepare(
        _ order: RendererOrder, _ memory: UInt64
    ) throws -> (renderer: VirglRenderer, venus: Venus?) {
        let venus = order.kinds.contains(.venus) ? try Venus(order, memory: memory) : nil
        return (try VirglRenderer(order.kinds, renderNode: order.renderNode, server: venus?.server), venus)
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
