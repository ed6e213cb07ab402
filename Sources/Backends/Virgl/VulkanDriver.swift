import CVulkan
import Glibc
import Linux

/// The host's Vulkan driver, as a process finds it that is confined as the render server's are.
enum VulkanDriver {
    /// What a process that looks for it says, before the name or the reason.
    private enum Finding: UInt8 {
        case name, noLoader, noDevice, notConfined
    }

    private static let nameLimit = 256

    /// The name of the first device, such as `llvmpipe (LLVM 19.1.7, 256 bits)`. Only for a process with one thread.
    ///
    /// - Throws: where there is none, with what to install.
    static func find(renderNode: String?, memory: UInt64) throws(VirglRenderer.StartError) -> String {
        let places = try RenderServer.places()
        let said: [UInt8]
        do throws(Errno) {
            let pipe = try PipeEnds(blocks: true)
            let process = try start(renderNode, places, memory, writer: pipe.writer)
            said = try pipe.reader.readBytes(upTo: 1 + nameLimit)
            ChildProcess.end(process)
        } catch {
            throw .init("The host's Vulkan driver can't be looked for: \(error).")
        }
        let text = String(decoding: said.dropFirst(), as: UTF8.self)
        // One that has crashed says nothing.
        switch said.first.flatMap(Finding.init) {
        case .name: return text
        case .noLoader: throw .init("There is no Vulkan loader on this machine: install libvulkan1.")
        case .notConfined: throw .init("What looks for the host's Vulkan driver can't be confined. \(text)")
        case .noDevice, nil:
            throw .init(
                renderNode.map {
                    "Vulkan's loader finds no driver for '\($0)': is its driver (mesa-vulkan-drivers) installed?"
                } ?? "Vulkan's loader finds no software driver: install mesa-vulkan-drivers.")
        }
    }

    /// - Parameter writer: where it says what it has found; this process's is closed.
    /// - Returns: the process that looks.
    private static func start(
        _ renderNode: String?, _ places: [String], _ memory: UInt64, writer: consuming Descriptor
    ) throws(Errno) -> Int32 {
        let parent = getpid()
        let process = try ChildProcess.fork()
        if process == 0 {
            let (finding, name) = look(for: renderNode, places, memory, parent: parent)
            try? writer.writeAll(([finding.rawValue] + name).span.bytes)
            _exit(0)
        }
        return process
    }

    /// What the new process does.
    private static func look(
        for renderNode: String?, _ places: [String], _ memory: UInt64, parent: Int32
    ) -> (finding: Finding, name: [UInt8]) {
        do {
            try ChildProcess.dieWith(parent: parent)
            RenderServer.prepareDrivers(renderNode: renderNode)
            try Sandbox.confineRenderServer(folders: places, renderNode: renderNode, memory: memory)
        } catch {
            return (.notConfined, Array("\(error)".utf8.prefix(nameLimit)))
        }
        var name = [CChar](repeating: 0, count: nameLimit)
        // SAFETY: it writes at most so many bytes, with a zero at the end.
        switch cvulkan_device_name(&name, name.count) {
        case 0: return (.name, name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) })
        case -ENOENT: return (.noLoader, [])
        default: return (.noDevice, [])
        }
    }
}
