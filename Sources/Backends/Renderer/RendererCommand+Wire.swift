import Worker

extension RendererCommand: WorkerMessage {
    private enum Kind: UInt32 {
        case capabilitySet = 1
        case createContext, destroyContext, createResource, destroyResource, attachBacking, detachBacking
        case attachResource, detachResource, submit, transferToHost, transferFromHost, readPixels, fence
        case importSharedMemory, importDeviceMemory, contextFence
    }

    public func encode(into writer: inout PayloadWriter) -> UInt32 {
        let kind: Kind
        switch self {
        case .capabilitySet(let id, let version):
            kind = .capabilitySet
            writer.put([id, version])
        case .createContext(let id, let set, let name):
            kind = .createContext
            writer.put([id, set])
            writer.put(name)
        case .destroyContext(let id):
            kind = .destroyContext
            writer.put(id)
        case .createResource(let parameters):
            kind = .createResource
            writer.put(parameters.words)
        case .destroyResource(let id):
            kind = .destroyResource
            writer.put(id)
        case .attachBacking(let resource, let pieces):
            kind = .attachBacking
            writer.put([resource, UInt32(truncatingIfNeeded: pieces.count)])
            for piece in pieces { writer.put(piece) }
        case .detachBacking(let resource):
            kind = .detachBacking
            writer.put(resource)
        case .attachResource(let context, let resource):
            kind = .attachResource
            writer.put([context, resource])
        case .detachResource(let context, let resource):
            kind = .detachResource
            writer.put([context, resource])
        case .submit(let context, let commands):
            kind = .submit
            writer.put(context)
            writer.put(commands)
        case .transferToHost(let transfer):
            kind = .transferToHost
            writer.put(transfer)
        case .transferFromHost(let transfer):
            kind = .transferFromHost
            writer.put(transfer)
        case .readPixels(let resource, let box, let stride, let piece):
            kind = .readPixels
            writer.put([resource] + box.words + [stride])
            writer.put(piece)
        case .fence:
            kind = .fence
        case .importBlob(let resource, let blobKind, let piece):
            kind = blobKind == .sharedMemory ? .importSharedMemory : .importDeviceMemory
            writer.put(resource)
            writer.put(piece)
        case .contextFence(let context, let ring):
            kind = .contextFence
            writer.put([context, ring])
        }
        return kind.rawValue
    }

    public init?(kind: UInt32, payload reader: inout PayloadReader) {
        guard let kind = Kind(rawValue: kind) else { return nil }
        self =
            switch kind {
            case .capabilitySet: .capabilitySet(id: reader.uint32(), version: reader.uint32())
            case .createContext:
                .createContext(id: reader.uint32(), capabilitySet: reader.uint32(), name: reader.data())
            case .destroyContext: .destroyContext(id: reader.uint32())
            case .createResource: .createResource(ResourceParameters(&reader))
            case .destroyResource: .destroyResource(id: reader.uint32())
            case .attachBacking: .attachBacking(resource: reader.uint32(), pieces: reader.pieces())
            case .detachBacking: .detachBacking(resource: reader.uint32())
            case .attachResource: .attachResource(context: reader.uint32(), resource: reader.uint32())
            case .detachResource: .detachResource(context: reader.uint32(), resource: reader.uint32())
            case .submit: .submit(context: reader.uint32(), commands: reader.data())
            case .transferToHost: .transferToHost(Transfer(&reader))
            case .transferFromHost: .transferFromHost(Transfer(&reader))
            case .readPixels:
                .readPixels(
                    resource: reader.uint32(), box: Box(&reader), stride: reader.uint32(), to: reader.piece())
            case .fence: .fence
            case .importSharedMemory:
                .importBlob(resource: reader.uint32(), kind: .sharedMemory, piece: reader.piece())
            case .importDeviceMemory:
                .importBlob(resource: reader.uint32(), kind: .deviceMemory, piece: reader.piece())
            case .contextFence: .contextFence(context: reader.uint32(), ring: reader.uint32())
            }
    }
}

extension RendererReply: WorkerMessage {
    public func encode(into payload: inout PayloadWriter) -> UInt32 {
        payload.put(data)
        return status.rawValue
    }

    public init?(kind: UInt32, payload: inout PayloadReader) {
        guard let status = Status(rawValue: kind) else { return nil }
        self.init(status, data: payload.data())
    }
}

extension PayloadWriter {
    fileprivate mutating func put(_ words: [UInt32]) {
        for word in words { put(word) }
    }

    fileprivate mutating func put(_ transfer: RendererCommand.Transfer) {
        put([transfer.context, transfer.resource] + transfer.box.words)
        put(transfer.offset)
        put([transfer.level, transfer.stride, transfer.layerStride])
    }
}

extension PayloadReader {
    fileprivate mutating func pieces() -> [MemoryPiece] {
        // No more are made than there are bytes for.
        var pieces: [MemoryPiece] = []
        for _ in 0..<min(uint32(), RendererCommand.pieceLimit) { pieces.append(piece()) }
        return pieces
    }
}

extension RendererCommand.Box {
    fileprivate var words: [UInt32] { [x, y, z, width, height, depth] }

    fileprivate init(_ reader: inout PayloadReader) {
        self.init(
            x: reader.uint32(), y: reader.uint32(), z: reader.uint32(), width: reader.uint32(),
            height: reader.uint32(), depth: reader.uint32())
    }
}

extension RendererCommand.Transfer {
    fileprivate init(_ reader: inout PayloadReader) {
        self.init(
            context: reader.uint32(), resource: reader.uint32(), box: RendererCommand.Box(&reader),
            offset: reader.uint64(), level: reader.uint32(), stride: reader.uint32(), layerStride: reader.uint32())
    }
}

extension RendererCommand.ResourceParameters {
    fileprivate var words: [UInt32] {
        [id, target, format, bind, width, height, depth, arraySize, lastLevel, samples, flags]
    }

    fileprivate init(_ reader: inout PayloadReader) {
        self.init(
            id: reader.uint32(), target: reader.uint32(), format: reader.uint32(), bind: reader.uint32(),
            width: reader.uint32(), height: reader.uint32(), depth: reader.uint32(), arraySize: reader.uint32(),
            lastLevel: reader.uint32(), samples: reader.uint32(), flags: reader.uint32())
    }
}
