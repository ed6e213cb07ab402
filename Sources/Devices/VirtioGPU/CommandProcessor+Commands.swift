import CLinux
import Device
import GuestMemory
import Linux
import Renderer

/// What each command is, in terms of those who own what it is about.
extension CommandProcessor {
    func perform(_ command: Command) throws(Refusal) -> Progress {
        switch command {
        case .getDisplayInfo: return .done(.displayInfo(heads.all))
        case .getEDID(let head):
            try require(.edid)
            return .done(.edid(try heads.edid(of: head)))
        case .createImage(let id, let format, let width, let height):
            try resources.createImage(id, format, width: width, height: height)
        case .createBlob(let id, let memory, let size, let backing):
            try require(.resourceBlob)
            try resources.createBlob(id, memory: memory, size: size, backing)
        case .createHostBlob(let id, let request):
            try require(.resourceBlob)
            try createHostBlob(id, request)
        case .mapBlob(let id, let offset): return try map(id, at: offset)
        case .unmapBlob(let id): return try unmap(id)
        case .unref(let id): return try unref(id)
        case .assignUUID(let id): return .done(.uuid(try uuid(of: id)))
        case .attachBacking(let id, let backing): return try attach(backing, to: id)
        case .detachBacking(let id): return try detachBacking(of: id)
        case .transfer(let id, let area, let offset): return try transfer(area, at: offset, to: id)
        case .flush(let id, let area): return try flush(area, of: id)
        case .setScanout(let number, let id, let area):
            let head = try heads.head(number)
            if id == 0 { heads.turnOff(head) } else { try heads.show(area, of: resources.resource(id), id, at: head) }
        case .setBlobScanout(let number, let id, let area, let layout):
            try require(.resourceBlob)
            let head = try heads.head(number)
            if id == 0 {
                heads.turnOff(head)
            } else {
                try heads.show(area, ofBlob: resources.resource(id), id, layout, at: head)
            }
        case .updateCursor(let number, let id, let x, let y, let hotX, let hotY):
            let pointer = Head.Pointer(x: x, y: y, hotX: hotX, hotY: hotY, isShown: id != 0)
            return try updateCursor(of: heads.head(number), pointer, from: id)
        case .moveCursor(let number, let x, let y): heads.moveCursor(of: try heads.head(number), x, y)
        case .getCapsetInfo(let index): return .done(try capabilitySetInfo(index))
        case .getCapset(let id, let version): return .done(try capabilitySet(id, version))
        case .createContext(let id, let initialization, let name):
            return try createContext(id, initialization, name)
        case .destroyContext(let id):
            let isRendered = try rendererObjects().capabilitySet(of: id) != nil
            try rendererObjects().destroyContext(id)
            detachBlobs(from: id)
            return isRendered ? .asked([.destroyContext(id: id)], .nothing) : .complete
        case .attachResource(let id, let context):
            try noteBlob(id, in: context, isAttached: true)
            return try withResource(id, in: context, .attachResource(context: context, resource: id))
        case .detachResource(let id, let context):
            try noteBlob(id, in: context, isAttached: false)
            return try withResource(id, in: context, .detachResource(context: context, resource: id))
        case .createHostResource(let parameters):
            guard try rendererObjects().draws(.virgl) else { throw .unspecified }
            let serial = try resources.createHostResource(parameters)
            return .asked([.createResource(parameters)], .resourceMade(parameters.id, serial: serial))
        case .transferToHost(let transfer): return try carryOut(transfer, by: .transferToHost(transfer))
        case .transferFromHost(let transfer): return try carryOut(transfer, by: .transferFromHost(transfer))
        case .submit(let context, let stream): return try submit(stream, to: context)
        }
        return .complete
    }

    private func require(_ feature: VirtioGPU.Feature) throws(Refusal) {
        guard features.contains(feature) else { throw .unspecified }
    }

    // MARK: Resources

    private func unref(_ id: UInt32) throws(Refusal) -> Progress {
        let resource = try resources.resource(id)
        if let blob = resource.hostBlob { return unref(blob, id) }
        forget(id)
        guard let host = resource.host, !host.isLost else { return .complete }
        return .asked([.destroyResource(id: id)], .nothing)
    }

    /// Forgets a resource, and what is shown of it.
    func forget(_ id: UInt32) {
        heads.forget(id)
        objects?.forgetBacking(of: id)
        resources.remove(id)
    }

    private func uuid(of id: UInt32) throws(Refusal) -> [UInt8] {
        try require(.resourceUUID)
        if let uuid = try resources.resource(id).uuid { return uuid }
        let uuid = try randomUUID()
        resources.assign(uuid, to: id)
        return uuid
    }

    /// Version 4, variant 1. RFC 9562, section 5.4
    private func randomUUID() throws(Refusal) -> [UInt8] {
        var uuid = [UInt8](repeating: 0, count: 16)
        var span = uuid.mutableSpan
        var bytes = span.mutableBytes
        do throws(Errno) { try host.fillWithRandomNumbers(&bytes) } catch { throw .unspecified }
        uuid[6] = uuid[6] & 0x0f | 0x40
        uuid[8] = uuid[8] & 0x3f | 0x80
        return uuid
    }

    private func attach(_ backing: Backing, to id: UInt32) throws(Refusal) -> Progress {
        let resource = try resources.resource(id, toGet: backing)
        var progress = Progress.complete
        if let objects, let host = resource.host, !host.isLost {
            progress = .asked([try objects.attach(backing, to: id)], .nothing)
        }
        try resources.attach(backing, to: id)
        return progress
    }

    private func detachBacking(of id: UInt32) throws(Refusal) -> Progress {
        try resources.detachBacking(of: id)
        objects?.forgetBacking(of: id)
        guard let host = resources[id]?.host, !host.isLost else { return .complete }
        return .asked([.detachBacking(resource: id)], .nothing)
    }

    /// TRANSFER_TO_HOST_2D
    private func transfer(_ area: Rectangle, at offset: UInt64, to id: UInt32) throws(Refusal) -> Progress {
        let resource = try resources.resource(id)
        guard let host = resource.host else {
            try resource.transfer(area, at: offset, from: self.host.memory, to: memory.bytes)
            return .complete
        }
        guard area.fits(width: host.width, height: host.height) else { throw .invalidParameter }
        guard area.width > 0, area.height > 0 else { return .complete }
        let transfer = RendererCommand.Transfer(context: 0, resource: id, box: .init(area), offset: offset)
        return try carryOut(transfer, by: .transferToHost(transfer))
    }

    // MARK: Heads

    private func flush(_ area: Rectangle, of id: UInt32) throws(Refusal) -> Progress {
        let flushed = try heads.flush(area, of: resources.resource(id), id)
        if let moment = moment(of: flushed) { return .postponed(flushed, until: moment) }
        let (commands, copies) = try heads.update(flushed, from: resources, rendering)
        return commands.isEmpty ? .complete : .asked(commands, .pixelsCopied(copies))
    }

    private func updateCursor(of head: Head, _ pointer: Head.Pointer, from id: UInt32) throws(Refusal) -> Progress {
        let resource: Resource? = id == 0 ? nil : try resources.resource(id)
        guard let host = resource?.host else {
            try heads.updateCursor(of: head, pointer, from: resource)
            return .complete
        }
        let (command, read) = try heads.updateCursor(of: head, pointer, from: host, id, rendering)
        return .asked([command], .cursorRead(read))
    }

    // MARK: 3D

    func rendererObjects() throws(Refusal) -> RendererObjects {
        try require(.virgl)
        guard let objects else { throw .unspecified }
        return objects
    }

    private func capabilitySetInfo(_ index: UInt32) throws(Refusal) -> Response.Outcome {
        guard let sets = rendering?.capabilitySets, index < sets.count else { throw .invalidParameter }
        return .capabilitySetInfo(sets[Int(index)])
    }

    private func capabilitySet(_ id: UInt32, _ version: UInt32) throws(Refusal) -> Response.Outcome {
        guard let set = rendering?.capabilitySets.first(where: { $0.id == id }), version <= set.version else {
            throw .invalidParameter
        }
        return .capabilitySet(set)
    }

    private func createContext(_ id: UInt32, _ initialization: UInt32, _ name: [UInt8]) throws(Refusal) -> Progress {
        let objects = try rendererObjects()
        if initialization != 0 { try require(.contextInit) }
        let serial = try objects.createContext(id, initialization)
        guard objects.capabilitySet(of: id) != nil else { return .complete }
        return .asked(
            [.createContext(id: id, capabilitySet: initialization, name: name)], .contextMade(id, serial: serial))
    }

    /// Gives a context the use of a resource, or takes it away. Linux attaches all that a process opens, 2D resources
    /// among them: these the renderer doesn't have, and there is nothing to do.
    private func withResource(
        _ id: UInt32, in context: UInt32, _ command: RendererCommand
    ) throws(Refusal) -> Progress {
        try rendererObjects().requireContext(context)
        let resource = try resources.resource(id)
        guard try rendererObjects().capabilitySet(of: context) != nil else { return .complete }
        // What is mapped later is attached then.
        if let blob = resource.hostBlob { return blob.range == nil ? .complete : .asked([command], .nothing) }
        guard let host = resource.host else { return .complete }
        guard !host.isLost else { throw .invalidResource }
        return .asked([command], .nothing)
    }

    private func submit(_ stream: [UInt8], to context: UInt32) throws(Refusal) -> Progress {
        let objects = try rendererObjects()
        try objects.requireContext(context)
        guard objects.capabilitySet(of: context) != nil else { throw .invalidParameter }
        // A stream may have transfers of whatever is attached to its context.
        try objects.attachLostBackings(of: resources, isAwaited: isAwaited)
        return .asked([.submit(context: context, commands: stream)], .nothing)
    }

    private func carryOut(
        _ transfer: RendererCommand.Transfer, by command: RendererCommand
    ) throws(Refusal) -> Progress {
        let objects = try rendererObjects()
        if transfer.context != 0 { try objects.requireContext(transfer.context) }
        let resource = try resources.resource(transfer.resource)
        guard let host = resource.host, !host.isLost else { throw .invalidResource }
        guard resource.backing != nil else { throw .unspecified }
        try objects.attachLostBackings(of: resources, isAwaited: isAwaited)
        try objects.requireBacking(of: transfer.resource)
        return .asked([command], .nothing)
    }
}
