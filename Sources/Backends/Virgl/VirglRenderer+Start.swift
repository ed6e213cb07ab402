import CVirglrenderer
import Linux
import Renderer

extension VirglRenderer {
    /// The library can't start: there is no driver, no such device, or nothing that Venus needs.
    public struct StartError: Error, CustomStringConvertible {
        public let description: String

        init(_ description: String) { self.description = description }

        static func noDriver(for kinds: RendererKinds, renderNode: String?) -> StartError {
            if !kinds.contains(.virgl) { return .noVenus }
            return StartError(
                renderNode.map { "virglrenderer can't use '\($0)': is it a render node with an OpenGL driver?" }
                    ?? "virglrenderer finds no OpenGL driver: is Mesa's software driver (libegl-mesa0, libgl1 and libgl1-mesa-dri) installed?"
            )
        }

        static var noVenus: StartError {
            StartError(
                "virglrenderer, libvirglrenderer.so.1, has no Venus that takes the guest's memory: it takes version 1.1, which Debian 13 has."
            )
        }
    }

    func start(_ renderNode: String?) throws(StartError) {
        let callbacks = UnsafeMutablePointer<virgl_renderer_callbacks>.allocate(capacity: 1)
        callbacks.initialize(to: virgl_renderer_callbacks())
        callbacks.pointee.version = 3
        // SAFETY, of all of them: the cookie is this object, which ends with the process: the library is never without
        // it. What threads of the library's touch of it is made for that.
        callbacks.pointee.write_fence = { cookie, fence in
            guard let cookie else { return }
            Unmanaged<VirglRenderer>.fromOpaque(cookie).takeUnretainedValue().doneFences.note(fence)
        }
        callbacks.pointee.write_context_fence = { cookie, _, _, fence in
            guard let cookie else { return }
            Unmanaged<VirglRenderer>.fromOpaque(cookie).takeUnretainedValue().doneFences.note(ofRing: fence)
        }
        if device >= 0 {
            callbacks.pointee.get_drm_fd = { cookie in
                guard let cookie else { return -1 }
                return Unmanaged<VirglRenderer>.fromOpaque(cookie).takeUnretainedValue().device
            }
        }
        if server != nil {
            callbacks.pointee.get_server_fd = { cookie, _ in
                guard let cookie else { return -1 }
                return Unmanaged<VirglRenderer>.fromOpaque(cookie).takeUnretainedValue().server?.socket ?? -1
            }
        }
        let cookie = Unmanaged.passRetained(self).toOpaque()
        guard virgl_renderer_init(cookie, flags, callbacks) == 0 else {
            throw server?.end().map { StartError($0) } ?? .noDriver(for: kinds, renderNode: renderNode)
        }
        if kinds.contains(.venus) {
            guard takesGuestMemory else { throw server?.end().map { StartError($0) } ?? .noVenus }
            guard makesContexts else {
                throw StartError(server?.end() ?? "virglrenderer's render server makes no process for a context.")
            }
        }
    }

    /// VIRTIO_GPU_CAPSET_VENUS, and the word of its contents that is 1 where the driver is to have blobs imported.
    static let venusSet: UInt32 = 4
    private static let guestMemoryWord = 39

    private var takesGuestMemory: Bool {
        guard let contents = capabilitySet(id: Self.venusSet, version: 0) else { return false }
        let word = contents.dropFirst(4 * Self.guestMemoryWord).prefix(4)
        return word.elementsEqual([1, 0, 0, 0])
    }

    /// Whether the render server works: the library asks nothing of it before there is a context.
    private var makesContexts: Bool {
        guard createContext(id: 1, capabilitySet: Self.venusSet, name: []) == .done else { return false }
        destroyContext(id: 1)
        return true
    }

    private var flags: Int32 {
        var flags = VIRGL_RENDERER_THREAD_SYNC
        if kinds.contains(.virgl) {
            flags |= VIRGL_RENDERER_USE_EGL | Int32(VIRGL_RENDERER_USE_SURFACELESS)
        } else {
            flags |= Int32(VIRGL_RENDERER_NO_VIRGL)
        }
        if kinds.contains(.venus) {
            for flag in [
                VIRGL_RENDERER_VENUS, VIRGL_RENDERER_RENDER_SERVER, VIRGL_RENDERER_ASYNC_FENCE_CB,
                VIRGL_RENDERER_USE_EXTERNAL_BLOB, VIRGL_RENDERER_USE_GUEST_VRAM,
            ] { flags |= Int32(flag) }
        }
        return flags
    }
}
