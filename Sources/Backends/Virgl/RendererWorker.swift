import Glibc
import Linux
import Renderer
import SharedRing

/// Does what a device process asks of a renderer, until it leaves.
public struct RendererWorker: ~Copyable {
    /// Why a renderer ends.
    public enum End: Error {
        case violation(RingViolation)
        case system(Errno)
    }

    private let renderer: VirglRenderer
    private var endpoint: RendererEndpoint
    private var windows: [UInt32: Mapping] = [:]
    /// Fence commands that wait for the library, in their order: its number, and the command's.
    private var fences: [(number: UInt32, sequence: UInt64)] = []

    /// Contexts that there are, and how many have gone since memory was given back.
    private var contexts: Set<UInt32> = []
    private var goneContexts = 0
    /// So many contexts may go before the memory that they had is given back; what the last one had is always.
    private static let mostGoneContexts = 8

    /// How often fences are looked after when the library has no descriptor that tells, in milliseconds.
    private static let fencePeriod: Int32 = 1

    public init(_ endpoint: consuming RendererEndpoint, renderer: VirglRenderer) {
        self.endpoint = endpoint
        self.renderer = renderer
    }

    /// Works until the device process closes its end.
    public mutating func run() throws(End) {
        while true {
            try carryOutAll()
            try finishFences()
            guard try wait() else { return }
        }
    }

    // MARK: Waiting

    /// - Returns: false when the device process has gone.
    private mutating func wait() throws(End) -> Bool {
        giveBackMemory()
        guard try keepingRules({ (endpoint) throws(RingViolation) in try endpoint.commands.prepareToSleep() }) else {
            return true
        }
        var entries = [
            pollfd(fd: endpoint.doorbell, events: Int16(POLLIN), revents: 0),
            pollfd(fd: endpoint.socket.descriptor.raw, events: 0, revents: 0),
        ]
        var timeout: Int32 = -1
        if !fences.isEmpty {
            if let descriptor = renderer.pollDescriptor {
                entries.append(pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0))
            } else {
                timeout = Self.fencePeriod
            }
        }
        while poll(&entries, nfds_t(entries.count), timeout) < 0 {
            guard errno == EINTR else { throw .system(Errno(rawValue: errno)) }
        }
        endpoint.commands.wakeUp()
        return entries[1].revents & Int16(POLLHUP) == 0
    }

    /// The C library keeps what was freed between what is still there, which for contexts of OpenGL is nearly all that they had.
    private mutating func giveBackMemory() {
        guard goneContexts >= (contexts.isEmpty ? 1 : Self.mostGoneContexts) else { return }
        goneContexts = 0
        FreedMemory.giveBack()
    }

    private mutating func finishFences() throws(End) {
        guard !fences.isEmpty else { return }
        renderer.poll()
        let done = renderer.lastDoneFence
        while let first = fences.first, Int32(bitPattern: done &- first.number) >= 0 {
            fences.removeFirst()
            try answer(first.sequence, .done)
        }
    }

    // MARK: Commands

    private mutating func carryOutAll() throws(End) {
        while true {
            let next = try keepingRules { (endpoint) throws(RingViolation) in try endpoint.nextCommand() }
            guard let (sequence, command) = next else { return }
            if command == .fence {
                guard let number = renderer.makeFence() else {
                    try answer(sequence, .done)
                    continue
                }
                fences.append((number, sequence))
                continue
            }
            let reply: RendererReply
            do throws(Errno) { reply = try carryOut(command) } catch { throw .system(error) }
            try answer(sequence, reply.status, reply.data)
        }
    }

    private mutating func carryOut(_ command: RendererCommand) throws(Errno) -> RendererReply {
        switch command {
        case .capabilitySet(let id, let version):
            guard let contents = renderer.capabilitySet(id: id, version: version) else {
                return RendererReply(.noSuchObject)
            }
            return RendererReply(.done, data: contents)
        case .createContext(let id, let set, let name):
            let status = renderer.createContext(id: id, capabilitySet: set, name: name)
            if status == .done { contexts.insert(id) }
            return RendererReply(status)
        case .destroyContext(let id):
            renderer.destroyContext(id: id)
            if contexts.remove(id) != nil { goneContexts += 1 }
        case .createResource(let parameters): return RendererReply(renderer.createResource(parameters))
        case .destroyResource(let id): renderer.destroyResource(id: id)
        case .attachBacking(let resource, let pieces): return RendererReply(attachBacking(to: resource, pieces))
        case .detachBacking(let resource): renderer.detachBacking(of: resource)
        case .attachResource(let context, let resource): renderer.attach(resource, to: context)
        case .detachResource(let context, let resource): renderer.detach(resource, from: context)
        case .submit(let context, let commands): return RendererReply(renderer.submit(commands, to: context))
        case .transferToHost(let transfer): return RendererReply(renderer.transferToHost(transfer))
        case .transferFromHost(let transfer): return RendererReply(renderer.transferFromHost(transfer))
        case .readPixels(let resource, let box, let stride, let piece):
            guard let (base, size) = address(of: piece) else { return RendererReply(.noSuchObject) }
            return RendererReply(renderer.readPixels(of: resource, box, stride: stride, to: base, size: size))
        case .mapMemory(let window, let offset, let size):
            let file = try endpoint.takeMemory()
            guard windows[window] == nil, let size = Int(exactly: size) else { return RendererReply(.noSuchObject) }
            windows[window] = try Mapping(of: file, at: offset, size: size)
        case .unmapMemory(let window):
            renderer.detachBackings(in: window)
            windows[window] = nil
        case .fence: break
        }
        return RendererReply(.done)
    }

    private func attachBacking(to resource: UInt32, _ pieces: [RendererCommand.MemoryPiece]) -> RendererReply.Status {
        var places: [(base: UnsafeMutableRawPointer, size: Int)] = []
        for piece in pieces {
            guard let place = address(of: piece) else { return .noSuchObject }
            places.append(place)
        }
        return renderer.attachBacking(to: resource, places, windows: Set(pieces.map(\.window)))
    }

    private func address(of piece: RendererCommand.MemoryPiece) -> (base: UnsafeMutableRawPointer, size: Int)? {
        guard let window = windows[piece.window], piece.size > 0, piece.offset <= UInt64(window.size),
            piece.size <= UInt64(window.size) - piece.offset
        else { return nil }
        // SAFETY: inside the window, which is unmapped after the library has forgotten it.
        return (window.base + Int(piece.offset), Int(piece.size))
    }

    private mutating func answer(
        _ sequence: UInt64, _ status: RendererReply.Status, _ data: [UInt8] = []
    ) throws(End) {
        // A device process that leaves answers lying for so long has stopped; nobody waits for this one.
        _ = try keepingRules { (endpoint) throws(RingViolation) in
            try endpoint.answer(sequence, RendererReply(status, data: data))
        }
    }

    private mutating func keepingRules<Result>(
        _ use: (inout RendererEndpoint) throws(RingViolation) -> Result
    ) throws(End) -> Result {
        do throws(RingViolation) { return try use(&endpoint) } catch { throw .violation(error) }
    }
}
