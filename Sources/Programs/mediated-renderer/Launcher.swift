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
        var renderer: (process: Int32, handle: ProcessHandle)?
        defer { if let renderer { ChildProcess.end(renderer.process) } }
        while true {
            let sources = [socket.descriptor.raw] + (renderer.map { [$0.handle.descriptor.raw] } ?? [])
            let ready = try waitReadable(sources, milliseconds: -1)
            if let ended = renderer, ready[1] {
                renderer = nil
                try tell(ChildProcess.awaitEnd(of: ended.process), over: socket)
            }
            guard ready[0] else { continue }
            var descriptors = ReceivedDescriptors()
            let packet = try RendererLink.receive(from: socket, &descriptors, blocking: true)
            // Whatever is asked, the renderer that is there has served.
            if packet != nil, let old = renderer {
                renderer = nil
                try tell(ChildProcess.end(old.process), over: socket)
            }
            guard let packet, packet.kind == RendererLink.start, let session = descriptors.take(0) else { continue }
            let launcher = getpid()
            let process: Int32
            do throws(Errno) {
                process = try ChildProcess.fork()
            } catch {
                say("No renderer can be started: \(error).")
                try tell(nil, over: socket)
                continue
            }
            if process == 0 {
                render(session, renderNode: renderNode, memory: packet.number, launcher: launcher)
            }
            renderer = (process, try ProcessHandle(process))
        }
    }

    /// Says that the renderer has ended.
    private static func tell(_ signal: Int32?, over socket: borrowing UnixSocket) throws(Errno) {
        try RendererLink.send(RendererLink.ended, number: UInt64(signal ?? 0), over: socket)
    }

    /// What a copy does.
    private static func render(
        _ session: consuming Descriptor, renderNode: String?, memory: UInt64, launcher: Int32
    ) -> Never {
        // The device process must see it when this process ends, and this one when the device process does.
        close(ChildProcess.firstDescriptor)
        do {
            try ChildProcess.dieWith(parent: launcher)
            exit(work(try RendererEndpoint(UnixSocket(owning: session)), renderNode: renderNode, memory: memory))
        } catch {
            say("The renderer can't start: \(error).")
            exit(software)
        }
    }

    /// Carries out commands until the device process closes its end.
    ///
    /// - Returns: the status to end with.
    private static func work(_ endpoint: consuming RendererEndpoint, renderNode: String?, memory: UInt64) -> Int32 {
        let renderer: VirglRenderer
        do {
            renderer = try VirglRenderer(renderNode: renderNode)
            // The driver is loaded now, and what it needs is open.
            try Sandbox.confineRenderer(usesDevice: renderNode != nil, memory: memory)
        } catch {
            explain(error)
            return software
        }
        var worker = RendererWorker(endpoint, renderer: renderer)
        do throws(RendererWorker.End) {
            try worker.run()
            return 0
        } catch {
            explain(error)
            return software
        }
    }

    private static func explain(_ error: any Error) {
        switch error {
        case RendererWorker.End.violation(let violation):
            say("What the device process asks is wrong: \(violation).")
        case let error as VirglRenderer.StartError: say("\(error)")
        case let error as Sandbox.Failure: say("The renderer can't be confined. \(error)")
        default: say("The renderer stopped: \(error).")
        }
    }
}
