import Glibc
import Linux

/// virglrenderer's render server, a program of its own that makes a process for each context of Venus: there the guest's
/// Vulkan commands meet the host's driver. It is confined before it begins, and ends with this process.
public struct RenderServer {
    private let process: Int32
    private let handle: ProcessHandle
    /// This process's end of the socket to it, which virglrenderer takes over.
    public let socket: Int32

    /// The library's own variable for a server elsewhere.
    private static let variable = "RENDER_SERVER_EXEC_PATH"
    private static let places = ["/usr/libexec/virgl_render_server", "/usr/lib/virgl_render_server"]

    /// Starts it. Only for a process with one thread.
    ///
    /// - Parameters:
    ///   - renderNode: the graphics device that it may use.
    ///   - memory: how many bytes each of its processes may take.
    init(renderNode: String?, memory: UInt64) throws(VirglRenderer.StartError) {
        let program = try Self.path()
        do throws(Errno) {
            let pair = try UnixSocket.pair(keepsPackets: true)
            let parent = getpid()
            process = try ChildProcess.fork()
            if process == 0 {
                Self.become(program, pair.second.descriptor.raw, renderNode, memory, parent: parent)
            }
            handle = try ProcessHandle(process)
            socket = fcntl(pair.first.descriptor.raw, F_DUPFD_CLOEXEC, 0)
            guard socket >= 0 else { throw Errno(rawValue: errno) }
        } catch {
            throw .init("virglrenderer's render server can't be started: \(error).")
        }
    }

    private static func path() throws(VirglRenderer.StartError) -> String {
        if let place = getenv(variable).map({ String(cString: $0) }) {
            guard access(place, X_OK) == 0 else {
                throw .init("There is no render server at '\(place)', which \(variable) names.")
            }
            return place
        }
        guard let place = places.first(where: { access($0, X_OK) == 0 }) else {
            throw .init(
                "virglrenderer's render server, which Venus needs, isn't at \(places.joined(separator: " or ")): "
                    + "install virgl-server, or name it in \(variable).")
        }
        return place
    }

    /// What the new process does.
    private static func become(
        _ program: String, _ socket: Int32, _ renderNode: String?, _ memory: UInt64, parent: Int32
    ) -> Never {
        // Where the parent has ended already, there is nothing to serve.
        guard (try? ChildProcess.dieWith(parent: parent)) != nil else { _exit(0) }
        do {
            prepareDrivers(renderNode: renderNode)
            try Sandbox.confineRenderServer(folders: try folders(), renderNode: renderNode, memory: memory)
            let error = ChildProcess.become(
                program, ["--socket-fd", String(ChildProcess.firstDescriptor)], passing: socket)
            StandardError.print("mediated-renderer: '\(program)' can't be run: \(error).")
        } catch {
            StandardError.print("mediated-renderer: The render server can't be confined. \(error)")
        }
        _exit(1)
    }

    /// Has this process end when the server has: no context can be made any more. Starts a thread.
    public func watch() throws(Errno) {
        let handle = handle
        _ = try Thread(name: "render server") {
            _ = try? waitReadable([handle.descriptor.raw], within: nil)
            StandardError.print("mediated-renderer: virglrenderer's render server has ended.")
            _exit(1)
        }
    }

    // MARK: Drivers

    /// Tells Vulkan's loader and Mesa, for this process and what it starts, what a confined one can use: no layers of
    /// the user's, no cache of shaders, and without a device no driver but the software one.
    static func prepareDrivers(renderNode: String?) {
        setenv("VK_LOADER_LAYERS_DISABLE", "~implicit~", 1)
        setenv("MESA_SHADER_CACHE_DISABLE", "1", 1)
        if renderNode == nil { setenv("VK_LOADER_DRIVERS_SELECT", "lvp_*", 1) }
    }

    /// Where the server and, if variables say so, drivers and libraries are.
    static func folders() throws(VirglRenderer.StartError) -> [String] {
        let server = folder(of: try path())
        return ["VK_DRIVER_FILES", "VK_ADD_DRIVER_FILES", "VK_ICD_FILENAMES", "LD_LIBRARY_PATH"].reduce([server]) {
            guard let value = getenv($1) else { return $0 }
            return $0
                + String(cString: value).split(separator: ":").map { path in
                    path.hasSuffix(".json") ? folder(of: String(path)) : String(path)
                }
        }
    }

    private static func folder(of path: String) -> String {
        guard let real = realpath(path, nil) else { return path }
        defer { free(real) }
        let text = String(cString: real)
        return String(text[..<(text.lastIndex(of: "/") ?? text.startIndex)])
    }
}
