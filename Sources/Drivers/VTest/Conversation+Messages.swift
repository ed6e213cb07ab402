import Linux
import VirtioGPUDriver

/// What each message means on the vGPU.
extension Conversation {
    func carryOut(_ message: VTestMessage) throws(DriverError) {
        guard name != nil else {
            guard case .createRenderer(let name) = message else { return end("it has not said its name first") }
            self.name = name
            return
        }
        switch message {
        case .createRenderer: end("it has said its name twice")
        case .getCapabilities: give(capabilities: 1)
        case .getCapabilities2: give(capabilities: 2)
        case .ping: output.add(.ping)
        case .version(let wanted):
            // 1 was taken back; who knows no better speaks 0.
            version = wanted == 1 ? 0 : min(wanted, VTestMessage.newestVersion)
            output.add(.version, version)
        // None is known to whoever speaks these versions.
        case .parameter: output.add(.parameter, 0, 0)
        case .capabilitySet(let id, let version): give(set: id, version)
        case .initializeContext(let set):
            guard board.device.capabilitySets.contains(where: { $0.id == set }) else {
                return end("it wants capability set \(set)")
            }
            _ = try needContext()
        case .createResource(let handle, let parameters, let size): try create(handle, parameters, size)
        case .unreference(let handle): try unreference(handle)
        case .get(let transfer, let size): try get(transfer, size)
        case .put(let transfer, let size): try put(transfer, size)
        case .submit(let stream): try submit(stream)
        case .busyWait(let waits):
            guard waits, countInFlight > 0 else { return output.add(.busyWait, countInFlight > 0 ? 1 : 0) }
            attention = .waiting
        case .stay(let stays):
            board.stays = stays
            output.add(.stay)
        }
    }

    func send(_ command: GPUCommand, _ work: Switchboard.Work) throws(DriverError) {
        countInFlight += 1
        try board.send(command, work, of: number)
    }

    private func needContext() throws(DriverError) -> UInt32 {
        if let context { return context }
        let id = board.takeContext()
        context = id
        try send(.createContext(id: id, name: name ?? []), .asked)
        // virglrenderer has the new context current without knowing, and would draw in it for whoever comes next.
        try send(.submit(context: id, stream: Switchboard.noOperation), .asked)
        return id
    }

    /// What the program doesn't have, nobody has.
    private func submit(_ stream: [UInt8]) throws(DriverError) {
        var stream = stream
        VirglStream.renumber(&stream) { resources[$0]?.id ?? .max }
        try send(.submit(context: needContext(), stream: stream), .asked)
    }

    // MARK: Capabilities

    /// The header says how many bytes there are and one more, and which set it is.
    private func give(capabilities id: UInt32) {
        guard let set = board.device.capabilitySets.first(where: { $0.id == id }) else {
            return end("it wants capability set \(id), which the vGPU doesn't have")
        }
        output.add(.bytes([UInt32(set.contents.count + 1), id].littleEndian + set.contents))
    }

    private func give(set id: UInt32, _ version: UInt32) {
        let set = board.device.capabilitySets.first { $0.id == id && version <= $0.version }
        guard let set, set.contents.count.isMultiple(of: 4) else { return output.add(.capabilitySet, 0) }
        let header = [UInt32(1 + set.contents.count / 4), VTestNumber.capabilitySet.rawValue, 1]
        output.add(.bytes(header.littleEndian + set.contents))
    }

    // MARK: Resources

    private func create(
        _ handle: UInt32, _ parameters: GPUCommand.ResourceParameters, _ size: UInt32
    ) throws(DriverError) {
        guard resources[handle] == nil else { return end("it has made resource \(handle) twice") }
        guard board.hasResource(for: peer) else {
            // Who gets no memory can go on; with no answer, it couldn't know.
            guard size > 0 else { return end("it wants more than the \(peer.resources) resources that it has") }
            return output.add(.descriptor(nil))
        }
        let context = try needContext()
        guard size > 0 else {
            let id = board.takeResource()
            keep(Resource(id: id, memory: nil), as: handle)
            try send(.createResource(id: id, parameters), .asked)
            return try send(.attachResource(context: context, resource: id), .asked)
        }
        guard UInt64(size) <= Self.maximumShared - peer.shared, let memory = try board.share(size) else {
            return output.add(.descriptor(nil))
        }
        let id = board.takeResource()
        keep(Resource(id: id, memory: memory), as: handle)
        attention = .making(handle, stepsLeft: 3, hasFailed: false)
        try send(.createResource(id: id, parameters), .making)
        try send(.attachBacking(resource: id, address: memory.address, size: size), .making)
        try send(.attachResource(context: context, resource: id), .making)
    }

    private func unreference(_ handle: UInt32) throws(DriverError) {
        guard let resource = forget(handle) else { return }
        try board.destroyResource(resource.id, resource.memory, of: needContext())
    }

    private func keep(_ resource: Resource, as handle: UInt32) {
        resources[handle] = resource
        peer.resources += 1
        peer.shared += resource.memory?.size ?? 0
    }

    /// It is none of the program's any more; the vGPU still has it.
    func forget(_ handle: UInt32) -> Resource? {
        guard let resource = resources.removeValue(forKey: handle) else { return nil }
        peer.resources -= 1
        peer.shared -= resource.memory?.size ?? 0
        return resource
    }

    // MARK: Transfers

    private func command(_ transfer: VTestMessage.Transfer) throws(DriverError) -> GPUCommand.Transfer? {
        guard let resource = resources[transfer.handle] else {
            end("it has no resource \(transfer.handle)")
            return nil
        }
        return try GPUCommand.Transfer(
            context: needContext(), resource: resource.id, level: transfer.level, stride: transfer.stride,
            layerStride: transfer.layerStride, box: transfer.box, offset: UInt64(transfer.offset))
    }

    /// Memory for one transfer by socket; nil when the program ends for it.
    private func staging(_ size: UInt32) throws(DriverError) -> SharedMemory? {
        guard size > 0, size <= Self.maximumTransfer, let memory = try board.share(size) else {
            end("a transfer of \(size) bytes finds no room")
            return nil
        }
        return memory
    }

    private func get(_ transfer: VTestMessage.Transfer, _ size: UInt32?) throws(DriverError) {
        guard let command = try command(transfer) else { return }
        guard let size else { return try send(.transferFromHost(command), .transfer) }
        guard let memory = try staging(size) else { return }
        attention = .fetching
        try send(.attachBacking(resource: command.resource, address: memory.address, size: size), .transfer)
        try send(.transferFromHost(command), .transfer)
        try send(.detachBacking(resource: command.resource), .fetched(memory, count: Int(size)))
    }

    private func put(_ transfer: VTestMessage.Transfer, _ size: UInt32?) throws(DriverError) {
        guard let size else {
            guard let command = try command(transfer) else { return }
            return try send(.transferToHost(command), .transfer)
        }
        guard resources[transfer.handle] != nil else { return end("it has no resource \(transfer.handle)") }
        guard let memory = try staging(size) else { return }
        attention = .filling(memory, transfer, place: 0, count: Int(size))
    }

    /// All bytes of a transfer have come.
    func put(_ transfer: VTestMessage.Transfer, from memory: SharedMemory, count: Int) throws(DriverError) {
        guard let command = try command(transfer) else { return board.discard(memory) }
        try send(.attachBacking(resource: command.resource, address: memory.address, size: UInt32(count)), .transfer)
        try send(.transferToHost(command), .transfer)
        try send(.detachBacking(resource: command.resource), .returned(memory))
    }
}
