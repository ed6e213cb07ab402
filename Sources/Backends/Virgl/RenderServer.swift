import Glibc
import Linux

/// virglrenderer's render server, a program of its own that makes a process for each context of Venus: there the guest's
/// Vulkan commands meet the host's driver. It is confined before it begins, and ends with this process.
public struct RenderServer {
    private let program: String
    private let process: Int32
    private let handle: ProcessHandle
    /// This process's end of the socket to it, open, which virglrenderer closes with itself.
    let socket: Int32

    /// The library's own variable for a server elsewhere.
    private static let variable = "RENDER_SERVER_EXEC_PATH"
    private static let programs = ["/usr/libexec/virgl_render_server", "/usr/lib/virgl_render_server"]

    /// Starts it. Only for a process with one thread.
    ///
    /// - Parameters:
    ///   - renderNode: the graphics device that it may use.
    ///   - memory: how many bytes each of its processes may take.
    init(renderNode: String?, memory: UInt64) throws(VirglRenderer.StartError) {
        program = try Self.path()
        let places = try Self.places(beside: program)
        do throws(Errno) {
            let pair = try UnixSocket.pair(keepsPackets: true)
            let parent = getpid()
            process = try ChildProcess.fork()
            if process == 0 {
                Self.become(program, pair.second.descriptor.raw, places, renderNode, memory, parent: parent)
            }
            handle = try ProcessHandle(process)
            socket = pair.first.relinquish()
        } catch {
            throw .init("virglrenderer's render server can't be started: \(error).")
        }
    }

    private static func path() throws(VirglRenderer.StartError) -> String {
        if let place = value(of: variable) {
            guard access(place, X_OK) == 0 else {
                throw .init("There is no render server at '\(place)', which \(variable) names.")
            }
            return place
        }
        guard let place = programs.first(where: { access($0, X_OK) == 0 }) else {
            throw .init(
                "virglrenderer's render server, which Venus needs, isn't at \(programs.joined(separator: " or ")): "
                    + "install virgl-server, or name it in \(variable).")
        }
        return place
    }

    /// What the new process does.
    private static func become(
        _ program: String, _ socket: Int32, _ places: [String], _ renderNode: String?, _ memory: UInt64, parent: Int32
    ) -> Never {
        // Where the parent has ended already, there is nothing to serve.
        guard (try? ChildProcess.dieWith(parent: parent)) != nil else { _exit(0) }
        do {
            prepareDrivers(renderNode: renderNode)
            try Sandbox.confineRenderServer(folders: places, renderNode: renderNode, memory: memory)
            let error = ChildProcess.become(
                program, ["--socket-fd", String(ChildProcess.firstDescriptor)], passing: socket)
            StandardError.print("mediated-renderer: '\(program)' can't be run: \(error).")
        } catch {
            StandardError.print("mediated-renderer: The render server can't be confined. \(error)")
        }
        _exit(1)
    }

    /// How the server has ended, as a sentence, where one that can't serve is about to: nil while it runs.
    func end() -> String? {
        guard (try? waitReadable([handle.descriptor.raw], within: .seconds(1))) == [true] else { return nil }
        let signal = ChildProcess.awaitEnd(of: process)
        let way = signal.map { "was ended by signal \($0)" } ?? "has ended by itself"
        return "virglrenderer's render server, '\(program)', \(way) at its start."
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
    /// the user's, no cache of shaders, and the software driver without a device alone. With one it isn't offered; of
    /// the others, those find none that need another device, which Landlock denies.
    static func prepareDrivers(renderNode: String?) {
        setenv("VK_LOADER_LAYERS_DISABLE", "~implicit~", 1)
        setenv("MESA_SHADER_CACHE_DISABLE", "1", 1)
        setenv(renderNode == nil ? "VK_LOADER_DRIVERS_SELECT" : "VK_LOADER_DRIVERS_DISABLE", "lvp_*", 1)
    }

    /// What a confined process may read and run besides the system's: what lies beside the server, and manifests and
    /// folders that variables name.
    ///
    /// - Throws: where one of them is a folder that a guest's contexts had better not read.
    static func places() throws(VirglRenderer.StartError) -> [String] { try places(beside: try path()) }

    private static func places(beside server: String) throws(VirglRenderer.StartError) -> [String] {
        var places = [try narrow(folder(of: server), variable)]
        for name in ["VK_DRIVER_FILES", "VK_ADD_DRIVER_FILES", "VK_ICD_FILENAMES", "LD_LIBRARY_PATH"] {
            for path in value(of: name)?.split(separator: ":").map(String.init) ?? [] {
                places.append(path.hasSuffix(".json") ? path : try narrow(path, name))
            }
        }
        return places
    }

    /// - Returns: the folder.
    /// - Throws: where it isn't named from the root, or is, or has in it, what users keep their files in.
    private static func narrow(_ folder: String, _ name: String) throws(VirglRenderer.StartError) -> String {
        guard folder.hasPrefix("/") else {
            throw .init("\(name) has '\(folder)', which is no absolute path: write it from '/' on.")
        }
        guard let real = realPath(folder) else { return folder }
        let homes = ["/home", "/root"] + (value(of: "HOME").flatMap { realPath($0) }.map { [$0] } ?? [])
        guard !homes.contains(where: { ($0 + "/").hasPrefix(real == "/" ? real : real + "/") }) else {
            throw .init(
                "\(name) has the guest's contexts read all of '\(real)', where users' files are: "
                    + "name a folder with nothing but drivers in it.")
        }
        return real
    }

    private static func folder(of path: String) -> String {
        let real = realPath(path) ?? path
        let end = real.lastIndex(of: "/") ?? real.startIndex
        return end == real.startIndex && real.hasPrefix("/") ? "/" : String(real[..<end])
    }

    private static func value(of variable: String) -> String? {
        // SAFETY: a string that nobody changes in a process with one thread.
        getenv(variable).map { String(cString: $0) }
    }

    /// - Returns: nil where there is no such file.
    private static func realPath(_ path: String) -> String? {
        guard let real = realpath(path, nil) else { return nil }
        defer { free(real) }
        // SAFETY: realpath(3) has made a string.
        return String(cString: real)
    }
}
