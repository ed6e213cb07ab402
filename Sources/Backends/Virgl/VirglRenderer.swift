import CVirglrenderer
import Glibc
import Linux
import Renderer

/// virglrenderer, which turns a guest's Gallium commands into the host's OpenGL, and hands its Vulkan commands to the
/// host's driver. There is one in a process at most, and all of it belongs to the thread that made it but
/// ``doneFences``, which the library tells on threads of its own.
///
/// What a guest asks for goes to the library as it is: a hostile guest may well find something there that ends the
/// process, or hangs it. So this runs in a process that nothing else depends on.
public final class VirglRenderer {
    /// Where the backing of a resource is, for as long as the library knows it.
    struct Backing {
        let pieces: UnsafeMutableBufferPointer<iovec>
        let windows: Set<UInt32>
    }

    var backings: [UInt32: Backing] = [:]
    /// The graphics device, open, which the library closes with itself; -1 for none.
    let device: Int32
    let server: RenderServer?
    let kinds: RendererKinds
    /// The contexts that have processes of their own.
    private var processes: Set<UInt32> = []
    /// The number of the last fence that was asked for, of each sort.
    private var lastFence: UInt32 = 0
    private var lastRingFence: UInt64 = 0
    let doneFences: DoneFences

    /// - Parameters:
    ///   - renderNode: such as /dev/dri/renderD128; nil: a driver that needs no device, such as llvmpipe.
    ///   - server: a new one, for Venus; nil without it.
    public init(_ kinds: RendererKinds, renderNode: String?, server: RenderServer? = nil) throws(StartError) {
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

    /// Why a context doesn't do something.
    struct ContextRefusal: Error {
        var status: RendererReply.Status
        /// The context's process has ended: there is no such context any more.
        var isLoss = false
    }

    /// What the library returns where a context's process takes nothing, or says no to a stream.
    private static let notTaken: Int32 = -1

    private func lose(_ context: UInt32) -> ContextRefusal {
        LibraryLog.write("The process of context \(context) has ended: what it had is lost.")
        destroyContext(id: context)
        return ContextRefusal(status: .noSuchObject, isLoss: true)
    }

    func submit(_ commands: [UInt8], to context: UInt32) throws(ContextRefusal) {
        guard commands.count.isMultiple(of: 4) else { throw ContextRefusal(status: .invalid) }
        // The library wants words, aligned as such, and may write to them.
        var words = [UInt32](repeating: 0, count: commands.count / 4)
        words.withUnsafeMutableBytes { $0.copyBytes(from: commands) }
        let count = Int32(words.count)
        let result = words.withUnsafeMutableBytes {
            virgl_renderer_submit_cmd($0.baseAddress, Int32(bitPattern: context), count)
        }
        // A process that there is takes a fence, whatever it says to a stream.
        if result == Self.notTaken, processes.contains(context) { _ = try makeFence(of: 0, in: context) }
        guard result == 0 else { throw ContextRefusal(status: status(result)) }
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
    /// - Throws: also where there is no such ring: `.invalid`.
    func makeFence(of ring: UInt32, in context: UInt32) throws(ContextRefusal) -> UInt64 {
        let number = lastRingFence + 1
        let result = virgl_renderer_context_create_fence(context, 0, ring, number)
        if result == Self.notTaken, processes.contains(context) { throw lose(context) }
        guard result == 0 else { throw ContextRefusal(status: status(result)) }
        lastRingFence = number
        return number
    }

    /// Looks after fences. To be called when ``pollDescriptor`` is readable, which it then isn't until another is done;
    /// without one, now and then. What ``doneFences`` has is looked at behind this, or one might be missed.
    func poll() {
        if kinds.contains(.venus) { doneFences.event.consume() }
        virgl_renderer_poll()
    }

    /// Readable when a fence may be done; nil when the library has none.
    var pollDescriptor: Int32? {
        // With Venus, it tells by itself.
        if kinds.contains(.venus) { return doneFences.event.descriptor.raw }
        let descriptor = virgl_renderer_get_poll_fd()
        return descriptor >= 0 ? descriptor : nil
    }

    func status(_ result: Int32) -> RendererReply.Status {
        switch result {
        case 0: .done
        case ENOMEM, -ENOMEM: .outOfMemory
        case ENOENT, -ENOENT, ESRCH, -ESRCH: .noSuchObject
        default: .invalid
        }
    }
}
