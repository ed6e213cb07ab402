import CVirglrenderer
import Glibc
import Linux
import Renderer

/// virglrenderer, which turns a guest's Gallium commands into the host's OpenGL. There is one in a process at most, and
/// all of it belongs to the thread that made it.
///
/// What a guest asks for goes to the library as it is: a hostile guest may well find something there that ends the
/// process, or hangs it. So this runs in a process that nothing else depends on.
public final class VirglRenderer {
    /// The library can't start: no GL driver, or no such device.
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

    /// Where the backing of a resource is, for as long as the library knows it.
    private struct Backing {
        let pieces: UnsafeMutableBufferPointer<iovec>
        let windows: Set<UInt32>
    }

    private var backings: [UInt32: Backing] = [:]
    /// The graphics device, open, which the library closes with itself; -1 for none.
    private let device: Int32
    /// The render server's socket, which the library closes with itself; -1 for none.
    private let server: Int32
    private let kinds: RendererKinds
    /// The contexts that have processes of their own.
    private var processes: Set<UInt32> = []
    /// The number of the last fence that was asked for, of each sort.
    private var lastFence: UInt32 = 0
    private var lastRingFence: UInt64 = 0
    let doneFences: DoneFences

    /// - Parameters:
    ///   - renderNode: such as /dev/dri/renderD128; nil: a driver that needs no device, such as llvmpipe.
    ///   - server: a socket that a render server has the other end of, which this takes over: for Venus, -1 without it.
    public init(_ kinds: RendererKinds, renderNode: String?, server: Int32 = -1) throws(StartError) {
        self.kinds = kinds
        self.server = server
        if kinds.contains(.virgl), let renderNode {
            // Without one the library would take any it finds, or none.
            device = open(renderNode, O_RDWR | O_CLOEXEC)
            guard device >= 0 else {
                throw StartError("'\(renderNode)' can't be opened: \(String(cString: strerror(errno))).")
            }
        } else {
            device = -1
            if renderNode == nil { setenv("LIBGL_ALWAYS_SOFTWARE", "1", 1) }
        }
        do throws(Errno) { doneFences = try DoneFences() } catch {
            throw StartError("The renderer can't make an eventfd: \(error).")
        }
        try start(renderNode)
        // Up to here it has said by itself what is wrong.
        _ = virgl_set_debug_callback { format, arguments in LibraryLog.write(format, arguments) }
    }

    private func start(_ renderNode: String?) throws(StartError) {
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
        if server >= 0 {
            callbacks.pointee.get_server_fd = { cookie, _ in
                guard let cookie else { return -1 }
                return Unmanaged<VirglRenderer>.fromOpaque(cookie).takeUnretainedValue().server
            }
        }
        let cookie = Unmanaged.passRetained(self).toOpaque()
        guard virgl_renderer_init(cookie, flags, callbacks) == 0 else {
            throw .noDriver(for: kinds, renderNode: renderNode)
        }
        if kinds.contains(.venus), !takesGuestMemory { throw .noVenus }
    }

    /// VIRTIO_GPU_CAPSET_VENUS, and the word of its contents that is 1 where the driver is to have blobs imported.
    private static let venusSet: UInt32 = 4
    private static let guestMemoryWord = 39

    private var takesGuestMemory: Bool {
        guard let contents = capabilitySet(id: Self.venusSet, version: 0) else { return false }
        let word = contents.dropFirst(4 * Self.guestMemoryWord).prefix(4)
        return word.elementsEqual([1, 0, 0, 0])
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

    // MARK: Commands

    /// A capability set's contents; nil when the library doesn't have it.
    func capabilitySet(id: UInt32, version: UInt32) -> [UInt8]? {
        // Of what it wasn't started with it says nothing but the size.
        guard kinds.contains(id == Self.venusSet ? .venus : .virgl) else { return nil }
        var newest: UInt32 = 0
        var size: UInt32 = 0
        virgl_renderer_get_cap_set(id, &newest, &size)
        guard size > 0, version <= newest else { return nil }
        var contents = [UInt8](repeating: 0, count: Int(size))
        // SAFETY: the library writes as many bytes as it said.
        contents.withUnsafeMutableBytes { virgl_renderer_fill_caps(id, version, $0.baseAddress) }
        return contents
    }

    func createContext(id: UInt32, capabilitySet: UInt32, name: [UInt8]) -> RendererReply.Status {
        let name = name.map { CChar(bitPattern: $0) }
        let flags = capabilitySet & UInt32(VIRGL_RENDERER_CONTEXT_FLAG_CAPSET_ID_MASK)
        let status = status(
            flags == 0
                ? virgl_renderer_context_create(id, UInt32(name.count), name)
                : virgl_renderer_context_create_with_flags(id, flags, UInt32(name.count), name))
        if status == .done, flags == Self.venusSet { processes.insert(id) }
        return status
    }

    func destroyContext(id: UInt32) {
        processes.remove(id)
        virgl_renderer_context_destroy(id)
    }

    /// What the library says of something sent to a context.
    ///
    /// - Returns: nil when the context had a process of its own, and that has ended: there is no such context any more.
    private func status(_ result: Int32, from context: UInt32) -> RendererReply.Status? {
        guard result == Self.notSent, processes.contains(context) else { return status(result) }
        LibraryLog.write("The process of context \(context) has ended: what it had is lost.")
        destroyContext(id: context)
        return nil
    }

    /// What the library returns where a context's process takes nothing.
    private static let notSent: Int32 = -1

    func createResource(_ parameters: RendererCommand.ResourceParameters) -> RendererReply.Status {
        var arguments = virgl_renderer_resource_create_args(
            handle: parameters.id, target: parameters.target, format: parameters.format, bind: parameters.bind,
            width: parameters.width, height: parameters.height, depth: parameters.depth,
            array_size: parameters.arraySize, last_level: parameters.lastLevel, nr_samples: parameters.samples,
            flags: parameters.flags)
        return status(virgl_renderer_resource_create(&arguments, nil, 0))
    }

    func destroyResource(id: UInt32) {
        detachBacking(of: id)
        virgl_renderer_resource_unref(id)
    }

    /// Makes a resource of memory, which Venus's contexts can use.
    ///
    /// - Parameters:
    ///   - memory: what stands for it, which the library keeps.
    ///   - size: in bytes.
    func importBlob(
        _ resource: UInt32, _ kind: RendererCommand.BlobKind, _ memory: borrowing Descriptor, size: UInt64
    ) -> RendererReply.Status {
        let raw = memory.raw
        let copy = fcntl(raw, F_DUPFD_CLOEXEC, 0)
        guard copy >= 0 else { return .outOfMemory }
        let type = kind == .sharedMemory ? VIRGL_RENDERER_BLOB_FD_TYPE_SHM : VIRGL_RENDERER_BLOB_FD_TYPE_DMABUF
        var arguments = virgl_renderer_resource_import_blob_args(
            res_handle: resource, blob_mem: UInt32(VIRGL_RENDERER_BLOB_MEM_GUEST_VRAM), fd_type: UInt32(type), fd: copy,
            size: size)
        let result = status(virgl_renderer_resource_import_blob(&arguments))
        if result != .done { close(copy) }
        return result
    }

    /// - Parameters:
    ///   - pieces: inside windows that stay mapped until ``detachBacking(of:)``.
    ///   - windows: the windows that they lie in.
    func attachBacking(
        to resource: UInt32, _ pieces: [(base: UnsafeMutableRawPointer, size: Int)], windows: Set<UInt32>
    ) -> RendererReply.Status {
        guard backings[resource] == nil else { return .noSuchObject }
        let buffer = UnsafeMutableBufferPointer<iovec>.allocate(capacity: pieces.count)
        for (index, piece) in pieces.enumerated() {
            buffer.initializeElement(at: index, to: iovec(iov_base: piece.base, iov_len: piece.size))
        }
        guard
            virgl_renderer_resource_attach_iov(Int32(bitPattern: resource), buffer.baseAddress, Int32(pieces.count))
                == 0
        else {
            buffer.deallocate()
            return .noSuchObject
        }
        backings[resource] = Backing(pieces: buffer, windows: windows)
        return .done
    }

    func detachBacking(of resource: UInt32) {
        guard let backing = backings.removeValue(forKey: resource) else { return }
        var pieces: UnsafeMutablePointer<iovec>?
        var count: Int32 = 0
        virgl_renderer_resource_detach_iov(Int32(bitPattern: resource), &pieces, &count)
        // SAFETY: the library has forgotten it.
        backing.pieces.deallocate()
    }

    /// Makes the library forget memory that is about to go.
    func detachBackings(in window: UInt32) {
        for (resource, backing) in backings where backing.windows.contains(window) { detachBacking(of: resource) }
    }

    func attach(_ resource: UInt32, to context: UInt32) {
        virgl_renderer_ctx_attach_resource(Int32(bitPattern: context), Int32(bitPattern: resource))
    }

    func detach(_ resource: UInt32, from context: UInt32) {
        virgl_renderer_ctx_detach_resource(Int32(bitPattern: context), Int32(bitPattern: resource))
    }

    func submit(_ commands: [UInt8], to context: UInt32) -> RendererReply.Status {
        guard commands.count.isMultiple(of: 4) else { return .invalid }
        // The library wants words, aligned as such, and may write to them.
        var words = [UInt32](repeating: 0, count: commands.count / 4)
        words.withUnsafeMutableBytes { $0.copyBytes(from: commands) }
        let count = Int32(words.count)
        return words.withUnsafeMutableBytes { buffer in
            status(virgl_renderer_submit_cmd(buffer.baseAddress, Int32(bitPattern: context), count), from: context)
                ?? .noSuchObject
        }
    }

    func transferToHost(_ transfer: RendererCommand.Transfer) -> RendererReply.Status {
        var box = virgl_box(transfer.box)
        return status(
            virgl_renderer_transfer_write_iov(
                transfer.resource, transfer.context, Int32(bitPattern: transfer.level), transfer.stride,
                transfer.layerStride, &box, transfer.offset, nil, 0))
    }

    func transferFromHost(_ transfer: RendererCommand.Transfer) -> RendererReply.Status {
        var box = virgl_box(transfer.box)
        return status(
            virgl_renderer_transfer_read_iov(
                transfer.resource, transfer.context, transfer.level, transfer.stride, transfer.layerStride, &box,
                transfer.offset, nil, 0))
    }

    /// Copies pixels of a resource's first level to memory, `stride` bytes from line to line.
    func readPixels(
        of resource: UInt32, _ box: RendererCommand.Box, stride: UInt32, to base: UnsafeMutableRawPointer, size: Int
    ) -> RendererReply.Status {
        var box = virgl_box(box)
        var piece = iovec(iov_base: base, iov_len: size)
        return status(virgl_renderer_transfer_read_iov(resource, 0, 0, stride, 0, &box, 0, &piece, 1))
    }

    // MARK: Fences

    /// A fence behind everything that was asked for. It is done when ``DoneFences/last`` has its number, or a later
    /// one.
    ///
    /// - Returns: nil when the library makes none: all is done.
    func makeFence() -> UInt32? {
        let number = lastFence &+ 1
        guard virgl_renderer_create_fence(Int32(bitPattern: number), 0) == 0 else { return nil }
        lastFence = number
        return number
    }

    /// A fence behind everything that was submitted to one ring of a context. ``DoneFences/takeNext()`` tells when it
    /// is done.
    ///
    /// - Returns: nil when there is no such context or ring.
    func makeFence(of ring: UInt32, in context: UInt32) -> UInt64? {
        let number = lastRingFence + 1
        let result = virgl_renderer_context_create_fence(context, 0, ring, number)
        guard status(result, from: context) == .done else { return nil }
        lastRingFence = number
        return number
    }

    /// Looks after fences. To be called when ``pollDescriptor`` is readable; without one, now and then.
    func poll() {
        virgl_renderer_poll()
    }

    /// Readable when a fence may be done; nil when the library has none.
    var pollDescriptor: Int32? {
        // With Venus, it tells by itself.
        if kinds.contains(.venus) { return doneFences.event.descriptor.raw }
        let descriptor = virgl_renderer_get_poll_fd()
        return descriptor >= 0 ? descriptor : nil
    }

    private func status(_ result: Int32) -> RendererReply.Status {
        switch result {
        case 0: .done
        case ENOMEM, -ENOMEM: .outOfMemory
        case ENOENT, -ENOENT, ESRCH, -ESRCH: .noSuchObject
        default: .invalid
        }
    }
}

extension virgl_box {
    fileprivate init(_ box: RendererCommand.Box) {
        self.init(x: box.x, y: box.y, z: box.z, w: box.width, h: box.height, d: box.depth)
    }
}
