import CLinux
import GuestMemory
import Renderer

/// What the guest has in the renderer: contexts, and the backing of resources. It is checked as far as the device knows
/// it; of streams and formats the renderer alone knows more.
final class RendererObjects {
    /// What a context takes of the video memory, in bytes, though it is the driver's own: virglrenderer 0.10.4 with
    /// Mesa 22.3's llvmpipe has 2.4 MiB for each.
    static let contextSize = 5 << 19

    private let rendering: Rendering
    private let memory: VideoMemory
    private struct Context {
        /// Tells it from one of the same number that was made later.
        let serial: UInt64
        /// The number of that which its commands are of. nil: of a driver that asks for none, with a renderer that has
        /// no OpenGL: Linux has one for its console. The renderer knows nothing of it.
        let capabilitySet: UInt32?
    }

    private var contexts: [UInt32: Context] = [:]
    private var serial: UInt64 = 0
    /// Of each resource whose backing the renderer was told, the windows that this lies in.
    private var backings: [UInt32: Set<UInt32>] = [:]
    /// ``GuestWindows/changes`` when backing that the renderer had lost was last looked for.
    private var changesSeen: UInt64 = 0

    init(in rendering: Rendering, memory: VideoMemory) {
        self.rendering = rendering
        self.memory = memory
    }

    /// Forgets all. Nothing of it takes video memory any more.
    func removeAll() {
        memory.giveBack(contexts.count * Self.contextSize)
        contexts = [:]
        backings = [:]
    }

    /// Whether the renderer draws what speaks this.
    func draws(_ kind: RendererKinds) -> Bool { rendering.kinds.contains(kind) }

    // MARK: Contexts

    /// The numbers of all contexts, in ascending order.
    var contextIDs: [UInt32] { contexts.keys.sorted() }

    func requireContext(_ id: UInt32) throws(Refusal) {
        guard contexts[id] != nil else { throw .invalidContext }
    }

    /// The number of the capability set that a context's commands are of; nil when there is no such context, or the
    /// renderer doesn't have it.
    func capabilitySet(of id: UInt32) -> UInt32? { contexts[id]?.capabilitySet }

    /// How many contexts of Vulkan there are.
    var venusCount: Int { contexts.values.count { $0.capabilitySet == Rendering.venusSet } }

    /// CTX_CREATE
    ///
    /// - Parameter initialization: the number of the context's capability set; 0: the one that contexts had before
    ///   there was a choice. `context_init`
    /// - Throws: ``Refusal/outOfMemory`` when the video memory, or ``RendererKinds/mostVenusContexts``, has no room for
    ///   it.
    /// - Returns: what tells it from others of the same number.
    func createContext(_ id: UInt32, _ initialization: UInt32) throws(Refusal) -> UInt64 {
        guard id != 0, contexts[id] == nil else { throw .invalidContext }
        let set = initialization & UInt32(VIRTIO_GPU_CONTEXT_INIT_CAPSET_ID_MASK)
        if initialization != 0 {
            guard initialization == set, rendering.capabilitySets.contains(where: { $0.id == set }) else {
                throw .invalidParameter
            }
        }
        // Each is a process, which the video memory doesn't bound.
        guard set != Rendering.venusSet || venusCount < RendererKinds.mostVenusContexts else { throw .outOfMemory }
        guard memory.reserve(Self.contextSize) else { throw .outOfMemory }
        serial &+= 1
        let standard = rendering.kinds.contains(.virgl) ? UInt32(VIRTIO_GPU_CAPSET_VIRGL) : nil
        contexts[id] = Context(serial: serial, capabilitySet: set == 0 ? standard : set)
        return serial
    }

    /// CTX_DESTROY
    func destroyContext(_ id: UInt32) throws(Refusal) {
        try requireContext(id)
        forgetContext(id)
    }

    /// The renderer hasn't made a context.
    ///
    /// - Returns: whether it was forgotten; there may be another of its number.
    func forgetContext(_ id: UInt32, serial: UInt64) -> Bool {
        guard contexts[id]?.serial == serial else { return false }
        forgetContext(id)
        return true
    }

    private func forgetContext(_ id: UInt32) {
        contexts[id] = nil
        memory.giveBack(Self.contextSize)
    }

    // MARK: Backing

    /// What tells the renderer where a resource's backing is.
    func attach(_ backing: Backing, to id: UInt32) throws(Refusal) -> RendererCommand {
        let pieces = try rendering.windows.pieces(of: backing)
        backings[id] = Set(pieces.map(\.window))
        return .attachBacking(resource: id, pieces: pieces)
    }

    /// The renderer is to use a resource's backing no more.
    func forgetBacking(of id: UInt32) {
        backings[id] = nil
    }

    /// - Throws: ``Refusal/unspecified`` when the renderer doesn't have all of a resource's backing.
    func requireBacking(of id: UInt32) throws(Refusal) {
        guard let windows = backings[id], rendering.windows.has(windows) else { throw .unspecified }
    }

    /// Tells the renderer anew of all backing that it has lost because its memory was taken away, as when the client
    /// left, and that is there again: in the order of the resources' numbers.
    ///
    /// - Parameter isAwaited: whether guest memory that can't be reached may still come. What isn't there while the
    ///   guest runs is left out.
    /// - Throws: ``Refusal/unreachable(_:)`` when some of it may still come.
    func attachLostBackings(
        of resources: ResourceTable, isAwaited: (DMAError) -> Bool
    ) throws(Refusal) {
        let changes = rendering.windows.changes
        guard changesSeen != changes else { return }
        let lost = backings.filter { !rendering.windows.has($0.value) }.keys.sorted()
        for id in lost {
            guard let backing = resources[id]?.backing else { continue }
            do throws(Refusal) {
                rendering.tell(try attach(backing, to: id))
            } catch {
                if case .unreachable(let missing) = error, isAwaited(missing) { throw error }
            }
        }
        changesSeen = changes
    }
}
