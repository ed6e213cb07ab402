import Linux
import Renderer
import Worker

/// virglrenderer as a library of a worker's: does what a device process asks of a renderer.
public struct VirglLibrary: WorkerLibrary {
    private let renderer: VirglRenderer
    private let udmabuf: Udmabuf?
    /// Fence commands that wait for the library, in their order: its number, and the command's.
    private var fences: [(number: UInt32, sequence: UInt64)] = []
    /// The same for fences of rings, by the library's number.
    private var ringFences: [UInt64: (context: UInt32, sequence: UInt64)] = [:]
    /// Such as are done because their context has gone.
    private var released: [UInt64] = []

    /// Contexts that there are, and how many have gone since memory was given back.
    private var contexts: Set<UInt32> = []
    private var goneContexts = 0
    /// So many contexts may go before the memory that they had is given back; what the last one had is always.
    private static let mostGoneContexts = 8

    /// How often fences are looked after when the library has no descriptor that tells.
    private static let fencePeriod = Duration.milliseconds(1)

    /// Gives virglrenderer, which is a process's one, what a device process asks.
    ///
    /// - Parameter udmabuf: what makes dma-bufs; nil: none of the device process's memory is imported.
    public init(_ renderer: VirglRenderer, udmabuf: Udmabuf? = nil) {
        self.renderer = renderer
        self.udmabuf = udmabuf
    }

    /// A dma-buf is made of a window's file.
    public var usesFiles: Bool { udmabuf != nil }

    // MARK: Waiting

    public mutating func prepareToSleep() -> WorkerWait {
        giveBackMemory()
        guard isWaiting else { return .commands }
        return renderer.pollDescriptor.map { .descriptor($0) } ?? .period(Self.fencePeriod)
    }

    /// The C library keeps what was freed between what is still there, which for contexts of OpenGL is nearly all that
    /// they had.
    private mutating func giveBackMemory() {
        guard goneContexts >= (contexts.isEmpty ? 1 : Self.mostGoneContexts) else { return }
        goneContexts = 0
        FreedMemory.giveBack()
    }

    public mutating func nextAnswer() -> (sequence: UInt64, reply: RendererReply)? {
        nextDone().map { ($0, RendererReply(.done)) }
    }

    private mutating func nextDone() -> UInt64? {
        if let sequence = released.popLast() { return sequence }
        guard isWaiting else { return nil }
        renderer.poll()
        if let first = fences.first, isDone(first.number) { return fences.removeFirst().sequence }
        while let number = renderer.doneFences.takeNext() {
            // Of a context that has gone it was answered before.
            if let fence = ringFences.removeValue(forKey: number) { return fence.sequence }
        }
        return nil
    }

    private var isWaiting: Bool { !fences.isEmpty || !ringFences.isEmpty }

    private func isDone(_ fence: UInt32) -> Bool {
        Int32(bitPattern: renderer.doneFences.last &- fence) >= 0
    }

    // MARK: Commands

    public mutating func carryOut(
        _ command: RendererCommand, _ sequence: UInt64, _ windows: WorkerWindows
    ) -> RendererReply? {
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
            forget(context: id)
        case .createResource(let parameters): return RendererReply(renderer.createResource(parameters))
        case .importBlob(let resource, let kind, let piece):
            return RendererReply(importBlob(resource, kind, piece, windows))
        case .destroyResource(let id): renderer.destroyResource(id: id)
        case .attachBacking(let resource, let pieces):
            return RendererReply(attachBacking(to: resource, pieces, windows))
        case .detachBacking(let resource): renderer.detachBacking(of: resource)
        case .attachResource(let context, let resource): renderer.attach(resource, to: context)
        case .detachResource(let context, let resource): renderer.detach(resource, from: context)
        case .submit(let context, let commands):
            do throws(VirglRenderer.ContextRefusal) { try renderer.submit(commands, to: context) } catch {
                return reply(error, of: context)
            }
        case .transferToHost(let transfer): return RendererReply(renderer.transferToHost(transfer))
        case .transferFromHost(let transfer): return RendererReply(renderer.transferFromHost(transfer))
        case .readPixels(let resource, let box, let stride, let piece):
            guard let (base, size) = windows.address(of: piece) else { return RendererReply(.noSuchObject) }
            return RendererReply(renderer.readPixels(of: resource, box, stride: stride, to: base, size: size))
        case .fence:
            if let number = renderer.makeFence() {
                fences.append((number, sequence))
                return nil
            }
        case .contextFence(let context, let ring):
            guard contexts.contains(context) else { return RendererReply(.noSuchObject) }
            do throws(VirglRenderer.ContextRefusal) {
                ringFences[try renderer.makeFence(of: ring, in: context)] = (context, sequence)
                return nil
            } catch {
                return reply(error, of: context)
            }
        }
        return RendererReply(.done)
    }

    private mutating func reply(_ refusal: VirglRenderer.ContextRefusal, of context: UInt32) -> RendererReply {
        if refusal.isLoss { forget(context: context) }
        return RendererReply(refusal.status)
    }

    /// Nothing is done any more for a context: nobody need wait for it.
    private mutating func forget(context: UInt32) {
        if contexts.remove(context) != nil { goneContexts += 1 }
        for (number, fence) in ringFences where fence.context == context {
            released.append(fence.sequence)
            ringFences[number] = nil
        }
    }

    private func importBlob(
        _ resource: UInt32, _ kind: RendererCommand.BlobKind, _ piece: MemoryPiece, _ windows: WorkerWindows
    ) -> RendererReply.Status {
        guard let udmabuf else { return .invalid }
        let status = windows.withFile(of: piece) { file, offset -> RendererReply.Status in
            do throws(Errno) {
                let memory = try udmabuf.buffer(of: file, at: offset, size: piece.size)
                return renderer.importBlob(resource, kind, memory, size: piece.size)
            } catch {
                return error == .invalidArgument ? .invalid : .outOfMemory
            }
        }
        return status ?? .noSuchObject
    }

    private func attachBacking(
        to resource: UInt32, _ pieces: [MemoryPiece], _ windows: WorkerWindows
    ) -> RendererReply.Status {
        var places: [(base: UnsafeMutableRawPointer, size: Int)] = []
        for piece in pieces {
            guard let place = windows.address(of: piece) else { return .noSuchObject }
            places.append(place)
        }
        return renderer.attachBacking(to: resource, places, windows: Set(pieces.map(\.window)))
    }

    public func forget(window: UInt32) {
        renderer.detachBackings(in: window)
    }
}
