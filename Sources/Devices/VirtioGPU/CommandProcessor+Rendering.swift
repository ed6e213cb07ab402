import CLinux
import Device
import Renderer

/// Commands of 3D. What they say is checked as far as the device knows it; of streams and formats the renderer alone knows more.
extension CommandProcessor {
    private func renderer() throws(Refusal) -> Rendering {
        try require(.virgl)
        guard let rendering else { throw .unspecified }
        return rendering
    }

    private func nextSerial() -> UInt64 {
        serial &+= 1
        return serial
    }

    // MARK: Capability sets

    func capabilitySetInfo(_ index: UInt32) throws(Refusal) -> Response.Outcome {
        guard let sets = rendering?.capabilitySets, index < sets.count else { throw .invalidParameter }
        return .capabilitySetInfo(sets[Int(index)])
    }

    func capabilitySet(_ id: UInt32, _ version: UInt32) throws(Refusal) -> Response.Outcome {
        guard let set = rendering?.capabilitySets.first(where: { $0.id == id }), version <= set.version else {
            throw .invalidParameter
        }
        return .capabilitySet(set)
    }

    // MARK: Contexts

    private func requireContext(_ id: UInt32) throws(Refusal) -> Rendering {
        let renderer = try renderer()
        guard renderer.contexts[id] != nil else { throw .invalidContext }
        return renderer
    }

    func createContext(_ id: UInt32, _ initialization: UInt32, _ name: [UInt8]) throws(Refusal) -> Progress {
        let renderer = try renderer()
        guard id != 0, renderer.contexts[id] == nil else { throw .invalidContext }
        let set = initialization & UInt32(VIRTIO_GPU_CONTEXT_INIT_CAPSET_ID_MASK)
        if initialization != 0 {
            try require(.contextInit)
            guard initialization == set, renderer.capabilitySets.contains(where: { $0.id == set }) else {
                throw .invalidParameter
            }
        }
        guard memory.reserve(Rendering.contextSize) else { throw .outOfMemory }
        let serial = nextSerial()
        renderer.contexts[id] = serial
        return .sent([.createContext(id: id, capabilitySet: set, name: name)]) { [unowned self] isDone in
            if !isDone, renderer.contexts[id] == serial { forgetContext(id, of: renderer) }
        }
    }

    private func forgetContext(_ id: UInt32, of renderer: Rendering) {
        guard renderer.contexts.removeValue(forKey: id) != nil else { return }
        memory.giveBack(Rendering.contextSize)
    }

    func destroyContext(_ id: UInt32) throws(Refusal) -> Progress {
        let renderer = try requireContext(id)
        forgetContext(id, of: renderer)
        return .sent([.destroyContext(id: id)]) { _ in }
    }

    /// Gives a context the use of a resource. Linux attaches all that a process opens, 2D resources among them: these the
    /// renderer doesn't have, and there is nothing to do.
    func attach(_ id: UInt32, toContext context: UInt32) throws(Refusal) -> Progress {
        _ = try requireContext(context)
        guard let host = try resource(id).host else { return .complete }
        guard !host.isLost else { throw .invalidResource }
        return .sent([.attachResource(context: context, resource: id)]) { _ in }
    }

    func detach(_ id: UInt32, fromContext context: UInt32) throws(Refusal) -> Progress {
        _ = try requireContext(context)
        guard let host = try resource(id).host else { return .complete }
        guard !host.isLost else { throw .invalidResource }
        return .sent([.detachResource(context: context, resource: id)]) { _ in }
    }

    func submit(_ stream: [UInt8], to context: UInt32) throws(Refusal) -> Progress {
        // A stream may have transfers of whatever is attached to its context.
        try attachLostBackings(of: try requireContext(context))
        return .sent([.submit(context: context, commands: stream)]) { _ in }
    }

    // MARK: Resources

    func createHostResource(_ parameters: RendererCommand.ResourceParameters) throws(Refusal) -> Progress {
        _ = try renderer()
        let id = parameters.id
        try requireNew(id)
        let host = try HostResource(parameters, serial: nextSerial())
        guard memory.reserve(host.size) else { throw .outOfMemory }
        resources[id] = Resource(content: .host(host))
        return .sent([.createResource(parameters)]) { [unowned self] isDone in
            if !isDone, resources[id]?.host?.serial == host.serial { forget(id) }
        }
    }

    /// The resource, which the renderer must have.
    private func hostResource(_ id: UInt32) throws(Refusal) -> Resource {
        let resource = try resource(id)
        guard let host = resource.host, !host.isLost else { throw .invalidResource }
        return resource
    }

    func carryOut(
        _ transfer: RendererCommand.Transfer, by command: (RendererCommand.Transfer) -> RendererCommand
    ) throws(Refusal) -> Progress {
        let renderer = transfer.context == 0 ? try renderer() : try requireContext(transfer.context)
        guard try hostResource(transfer.resource).backing != nil else { throw .unspecified }
        try attachLostBackings(of: renderer)
        guard let windows = renderer.backings[transfer.resource], renderer.windows.has(windows) else {
            throw .unspecified
        }
        return .sent([command(transfer)]) { _ in }
    }

    // MARK: Backing

    /// What tells the renderer where a resource's backing is.
    func attach(_ backing: Backing, to id: UInt32, of renderer: Rendering) throws(Refusal) -> RendererCommand {
        let pieces = try renderer.windows.pieces(of: backing)
        renderer.backings[id] = Set(pieces.map(\.window))
        return .attachBacking(resource: id, pieces: pieces)
    }

    /// Tells the renderer anew of all backing that it has lost because its memory was taken away, as when the client left, and that is
    /// there again.
    ///
    /// - Throws: ``Refusal/unreachable(_:)`` when some of it may still come. What isn't there while the guest runs is left out.
    private func attachLostBackings(of renderer: Rendering) throws(Refusal) {
        let changes = renderer.windows.changes
        guard renderer.changesSeen != changes else { return }
        for (id, windows) in renderer.backings where !renderer.windows.has(windows) {
            guard let backing = resources[id]?.backing else { continue }
            do throws(Refusal) {
                renderer.send([try attach(backing, to: id, of: renderer)]) { _ in }
            } catch {
                if case .unreachable(let missing) = error, isAwaited(missing) { throw error }
            }
        }
        renderer.changesSeen = changes
    }

    // MARK: Transfers

    /// TRANSFER_TO_HOST_2D of what the renderer has.
    func transfer(_ area: Rectangle, at offset: UInt64, to id: UInt32, _ host: HostResource) throws(Refusal) -> Progress
    {
        guard area.fits(width: host.width, height: host.height) else { throw .invalidParameter }
        guard area.width > 0, area.height > 0 else { return .complete }
        return try carryOut(.init(context: 0, resource: id, box: .init(area), offset: offset)) { .transferToHost($0) }
    }

    /// The renderer has ended, and with it all that it had.
    func loseHostResources() {
        memory.giveBack((rendering?.contexts.count ?? 0) * Rendering.contextSize)
        for (id, resource) in resources {
            guard var host = resource.host, !host.isLost else { continue }
            memory.giveBack(host.size)
            host.size = 0
            host.isLost = true
            resources[id]?.content = .host(host)
        }
    }

    // MARK: Pictures

    func setScanout(_ head: Head, to area: Rectangle, of id: UInt32, _ host: HostResource) throws(Refusal) {
        guard let format = host.format else { throw .invalidResource }
        guard area.width > 0, area.height > 0, area.fits(width: host.width, height: host.height) else {
            throw .invalidParameter
        }
        let blob = Head.Blob(format: format, offset: 0, stride: 0, pixels: try pixels(for: area, at: head))
        let scanout = picture(of: area, blob)
        show(Head.Source(resource: id, area: area, blob: blob), scanout, at: head)
    }

    /// A part of what the renderer has, on its way to a head's own memory.
    struct HostCopy {
        let head: Head
        let source: Head.Source
        /// In the head's own pixels.
        let part: Rectangle
        let pixels: Range<Int>
        let command: RendererCommand
    }

    /// What brings a head's copy up to date: whole lines, as those lie without gaps.
    ///
    /// - Returns: nil when nobody has the picture any more.
    func hostCopy(of part: Rectangle, to head: Head, _ host: HostResource) throws(Refusal) -> HostCopy? {
        guard let rendering, !host.isLost, let source = head.source, let pixels = source.blob?.pixels else {
            return nil
        }
        let stride = source.area.width * Resource.bytesPerPixel
        let lines = Rectangle(
            x: source.area.x, y: source.area.y + part.y, width: source.area.width, height: part.height)
        let place = try rendering.place(
            in: memory.bytes, at: pixels.lowerBound + part.y * stride, size: part.height * stride)
        let command = RendererCommand.readPixels(
            resource: source.resource, box: .init(lines), stride: UInt32(stride), to: place)
        return HostCopy(head: head, source: source, part: part, pixels: pixels, command: command)
    }

    func carryOut(_ copies: [HostCopy]) -> (commands: [RendererCommand], then: (Bool) -> Void) {
        for copy in copies { memory.beginWriting(to: copy.pixels) }
        return (
            copies.map(\.command),
            { [unowned self] isDone in
                for copy in copies {
                    memory.endWriting(to: copy.pixels)
                    if isDone, copy.head.source == copy.source { copy.head.damage.add(copy.part) }
                }
            }
        )
    }

    /// Has the renderer copy a cursor's image.
    func readCursor(from id: UInt32, _ host: HostResource, to place: Int) throws(Refusal) -> Progress {
        let edge = Head.cursorEdge
        guard let rendering, let format = host.format, !host.isLost else { throw .invalidResource }
        guard host.width == edge, host.height == edge else { throw .invalidParameter }
        let piece = try rendering.place(in: memory.bytes, at: place, size: Head.cursorSize)
        let image = Rectangle(x: 0, y: 0, width: edge, height: edge)
        let stride = UInt32(edge * Resource.bytesPerPixel)
        return .sent([.readPixels(resource: id, box: .init(image), stride: stride, to: piece)]) {
            [unowned self] isDone in
            if isDone { convertCursor(at: place, from: format) }
        }
    }
}

extension RendererCommand.Box {
    /// - Parameter area: inside a picture.
    fileprivate init(_ area: Rectangle) {
        self.init(
            x: UInt32(clamping: area.x), y: UInt32(clamping: area.y), width: UInt32(clamping: area.width),
            height: UInt32(clamping: area.height))
    }
}
