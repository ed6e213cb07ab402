import Glibc
import Linux
import Renderer
import Virgl

/// Starts renderers for one device process, one at a time, as copies of itself; ends when the device process does.
///
/// It has no thread besides its own and never touches OpenGL, so that a copy begins with a clean slate.
@main
struct Launcher {
    /// `sysexits.h`
    private static let usage: Int32 = 64
    private static let software: Int32 = 70

    static func main() {
        let arguments = CommandLine.arguments.dropFirst()
        guard arguments.count <= 1, fcntl(ChildProcess.firstDescriptor, F_GETFD) >= 0 else {
            say("mediated-device starts this program; it is of no use by itself.")
            exit(usage)
        }
        signal(SIGPIPE, SIG_IGN)
        do throws(Sandbox.Failure) {
            try Sandbox.giveUpPrivileges()
        } catch {
            say("The launcher can't be confined. \(error)")
            exit(software)
        }
        do throws(Errno) {
            let socket = UnixSocket(owning: Descriptor(owning: ChildProcess.firstDescriptor))
            try launch(over: socket, renderNode: arguments.first)
        } catch {
            // The device process has gone, or will see that this one has.
            exit(error == .connectionReset ? 0 : software)
        }
    }

    private static func say(_ message: String) {
        StandardError.print("mediated-renderer: \(message)")
    }

    private static func launch(over socket: borrowing UnixSocket, renderNode: String?) throws(Errno) {
        var child: Int32?
        defer { if let child { ChildProcess.end(child) } }
        while true {
            var descriptors = ReceivedDescriptors()
            let packet = try RendererLink.receive(from: socket, &descriptors, blocking: true)
            // Whatever is asked, the renderer that is there has served.
            if packet != nil, let old = child {
                ChildProcess.end(old)
                child = nil
            }
            guard packet == RendererLink.start, let session = descriptors.take(0) else { continue }
            let launcher = getpid()
            let process = try ChildProcess.fork()
            if process == 0 { render(session, renderNode: renderNode, launcher: launcher) }
            child = process
        }
    }

    /// What a copy does.
    private static func render(_ session: consuming Descriptor, renderNode: String?, launcher: Int32) -> Never {
        // The device process must see it when this process ends, and this one when the device process does.
        close(ChildProcess.firstDescriptor)
        do {
            try ChildProcess.dieWith(parent: launcher)
            exit(work(try RendererEndpoint(UnixSocket(owning: session)), renderNode: renderNode))
        } catch {
            say("The renderer can't start: \(error).")
            exit(software)
        }
    }

    /// Carries out commands until the device process closes its end. What goes wrong is said before this end is closed: the device
    /// process has a renderer that hangs up killed.
    ///
    /// - Returns: the status to end with.
    private static func work(_ endpoint: consuming RendererEndpoint, renderNode: String?) -> Int32 {
        let renderer: VirglRenderer
        do {
            renderer = try VirglRenderer(renderNode: renderNode)
            // The driver is loaded now, and what it needs is open.
            try Sandbox.confineRenderer(usesDevice: renderNode != nil)
        } catch {
            explain(error, before: endpoint)
            return software
        }
        var worker = RendererWorker(endpoint, renderer: renderer)
        do throws(RendererWorker.End) {
            try worker.run()
            return 0
        } catch {
            explain(error, before: worker)
            return software
        }
    }

    /// - Parameter end: what holds this end open until here.
    private static func explain<End: ~Copyable>(_ error: any Error, before end: borrowing End) {
        switch error {
        case RendererWorker.End.violation(let violation):
            say("What the device process asks is wrong: \(violation).")
        case let error as VirglRenderer.StartError: say("\(error)")
        case let error as Sandbox.Failure: say("The renderer can't be confined. \(error)")
        default: say("The renderer stopped: \(error).")
        }
    }
}
