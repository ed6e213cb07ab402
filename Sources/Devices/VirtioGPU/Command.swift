import CLinux
import Device
import GuestMemory
import Renderer

/// What a driver asks of the device: a request, read once. VIRTIO 1.2, sections 5.7.6.8 to 5.7.6.10
enum Command: Equatable {
    case getDisplayInfo
    case getEDID(head: UInt32)
    case createImage(UInt32, format: UInt32, width: UInt32, height: UInt32)
    case createBlob(UInt32, memory: UInt32, size: UInt64, backing: Backing)
    case createHostBlob(UInt32, HostBlob.Request)
    case mapBlob(UInt32, offset: UInt64)
    case unmapBlob(UInt32)
    case unref(UInt32)
    case assignUUID(UInt32)
    case attachBacking(UInt32, Backing)
    case detachBacking(UInt32)
    case transfer(UInt32, Rectangle, offset: UInt64)
    case flush(UInt32, Rectangle)
    case setScanout(head: UInt32, resource: UInt32, area: Rectangle)
    case setBlobScanout(head: UInt32, resource: UInt32, area: Rectangle, layout: BlobLayout)
    case getCapsetInfo(index: UInt32)
    case getCapset(UInt32, version: UInt32)
    case createContext(UInt32, initialization: UInt32, name: [UInt8])
    case destroyContext(UInt32)
    case attachResource(UInt32, context: UInt32)
    case detachResource(UInt32, context: UInt32)
    case createHostResource(RendererCommand.ResourceParameters)
    case transferToHost(RendererCommand.Transfer)
    case transferFromHost(RendererCommand.Transfer)
    case submit(context: UInt32, [UInt8])
    case updateCursor(head: UInt32, resource: UInt32, x: Int32, y: Int32, hotX: UInt32, hotY: UInt32)
    case moveCursor(head: UInt32, x: Int32, y: Int32)

    /// How the pixels lie in a blob, as a driver tells it.
    struct BlobLayout: Equatable {
        var width: UInt32
        var height: UInt32
        var format: UInt32
        /// Of the first plane; no format here has more.
        var stride: UInt32
        var offset: UInt32
    }

    /// The longest request there is, in bytes.
    static let maximumSize =
        MemoryLayout<virtio_gpu_resource_create_blob>.size
        + Backing.maximumEntries * MemoryLayout<virtio_gpu_mem_entry>.size

    /// - Parameters:
    ///   - type: a number of the header that begins `request`.
    ///   - queue: the queue by which it came: each has its own commands.
    init(_ type: UInt32, in request: RawSpan, from queue: Queue) throws(Refusal) {
        switch queue {
        case .control: try self.init(control: virtio_gpu_ctrl_type(type), request)
        case .cursor: try self.init(cursor: virtio_gpu_ctrl_type(type), request)
        }
    }

    private init(control type: virtio_gpu_ctrl_type, _ request: RawSpan) throws(Refusal) {
        switch type {
        case VIRTIO_GPU_CMD_GET_DISPLAY_INFO:
            self = .getDisplayInfo
        case VIRTIO_GPU_CMD_GET_EDID:
            self = .getEDID(head: try request.load(virtio_gpu_cmd_get_edid.self).scanout)
        case VIRTIO_GPU_CMD_RESOURCE_CREATE_2D:
            let wire = try request.load(virtio_gpu_resource_create_2d.self)
            self = .createImage(wire.resource_id, format: wire.format, width: wire.width, height: wire.height)
        case VIRTIO_GPU_CMD_RESOURCE_CREATE_BLOB:
            let wire = try request.load(virtio_gpu_resource_create_blob.self)
            let entries = request.extracting(droppingFirst: MemoryLayout.size(ofValue: wire))
            let backing = try Backing(entries, count: wire.nr_entries)
            guard wire.blob_mem == VIRTIO_GPU_BLOB_MEM_HOST3D else {
                self = .createBlob(wire.resource_id, memory: wire.blob_mem, size: wire.size, backing: backing)
                return
            }
            let blob = HostBlob.Request(
                context: wire.hdr.ctx_id, flags: wire.blob_flags, blob: wire.blob_id, size: wire.size,
                hasBacking: wire.nr_entries > 0)
            self = .createHostBlob(wire.resource_id, blob)
        case VIRTIO_GPU_CMD_RESOURCE_UNREF:
            self = .unref(try request.load(virtio_gpu_resource_unref.self).resource_id)
        case VIRTIO_GPU_CMD_RESOURCE_ASSIGN_UUID:
            self = .assignUUID(try request.load(virtio_gpu_resource_assign_uuid.self).resource_id)
        case VIRTIO_GPU_CMD_RESOURCE_ATTACH_BACKING:
            let wire = try request.load(virtio_gpu_resource_attach_backing.self)
            let entries = request.extracting(droppingFirst: MemoryLayout.size(ofValue: wire))
            self = .attachBacking(wire.resource_id, try Backing(entries, count: wire.nr_entries))
        case VIRTIO_GPU_CMD_RESOURCE_DETACH_BACKING:
            self = .detachBacking(try request.load(virtio_gpu_resource_detach_backing.self).resource_id)
        case VIRTIO_GPU_CMD_TRANSFER_TO_HOST_2D:
            let wire = try request.load(virtio_gpu_transfer_to_host_2d.self)
            self = .transfer(wire.resource_id, Rectangle(wire.r), offset: wire.offset)
        case VIRTIO_GPU_CMD_RESOURCE_FLUSH:
            let wire = try request.load(virtio_gpu_resource_flush.self)
            self = .flush(wire.resource_id, Rectangle(wire.r))
        case VIRTIO_GPU_CMD_SET_SCANOUT:
            let wire = try request.load(virtio_gpu_set_scanout.self)
            self = .setScanout(head: wire.scanout_id, resource: wire.resource_id, area: Rectangle(wire.r))
        case VIRTIO_GPU_CMD_SET_SCANOUT_BLOB:
            let wire = try request.load(virtio_gpu_set_scanout_blob.self)
            let layout = BlobLayout(
                width: wire.width, height: wire.height, format: wire.format, stride: wire.strides.0,
                offset: wire.offsets.0)
            self = .setBlobScanout(
                head: wire.scanout_id, resource: wire.resource_id, area: Rectangle(wire.r), layout: layout)
        case VIRTIO_GPU_CMD_GET_CAPSET_INFO:
            self = .getCapsetInfo(index: try request.load(virtio_gpu_get_capset_info.self).capset_index)
        case VIRTIO_GPU_CMD_GET_CAPSET:
            let wire = try request.load(virtio_gpu_get_capset.self)
            self = .getCapset(wire.capset_id, version: wire.capset_version)
        default: try self.init(rendering: type, request)
        }
    }

    private init(rendering type: virtio_gpu_ctrl_type, _ request: RawSpan) throws(Refusal) {
        switch type {
        case VIRTIO_GPU_CMD_CTX_CREATE:
            let wire = try request.load(virtio_gpu_ctx_create.self)
            let size = MemoryLayout.size(ofValue: wire.debug_name)
            let name = request.extracting(droppingFirst: MemoryLayout.size(ofValue: wire) - size)
            guard wire.nlen <= size else { throw .invalidParameter }
            self = .createContext(
                wire.hdr.ctx_id, initialization: wire.context_init,
                name: name.extracting(first: Int(wire.nlen)).copy())
        case VIRTIO_GPU_CMD_CTX_DESTROY:
            self = .destroyContext(try request.load(virtio_gpu_ctx_destroy.self).hdr.ctx_id)
        case VIRTIO_GPU_CMD_CTX_ATTACH_RESOURCE:
            let wire = try request.load(virtio_gpu_ctx_resource.self)
            self = .attachResource(wire.resource_id, context: wire.hdr.ctx_id)
        case VIRTIO_GPU_CMD_CTX_DETACH_RESOURCE:
            let wire = try request.load(virtio_gpu_ctx_resource.self)
            self = .detachResource(wire.resource_id, context: wire.hdr.ctx_id)
        case VIRTIO_GPU_CMD_RESOURCE_CREATE_3D:
            self = .createHostResource(.init(try request.load(virtio_gpu_resource_create_3d.self)))
        case VIRTIO_GPU_CMD_TRANSFER_TO_HOST_3D:
            self = .transferToHost(.init(try request.load(virtio_gpu_transfer_host_3d.self)))
        case VIRTIO_GPU_CMD_TRANSFER_FROM_HOST_3D:
            self = .transferFromHost(.init(try request.load(virtio_gpu_transfer_host_3d.self)))
        case VIRTIO_GPU_CMD_SUBMIT_3D:
            let wire = try request.load(virtio_gpu_cmd_submit.self)
            let stream = request.extracting(droppingFirst: MemoryLayout.size(ofValue: wire))
            // Longer ones than a request may be are cut off.
            guard wire.size <= stream.byteCount else { throw .unspecified }
            guard wire.size.isMultiple(of: 4) else { throw .invalidParameter }
            self = .submit(context: wire.hdr.ctx_id, stream.extracting(first: Int(wire.size)).copy())
        case VIRTIO_GPU_CMD_RESOURCE_MAP_BLOB:
            let wire = try request.load(virtio_gpu_resource_map_blob.self)
            self = .mapBlob(wire.resource_id, offset: wire.offset)
        case VIRTIO_GPU_CMD_RESOURCE_UNMAP_BLOB:
            self = .unmapBlob(try request.load(virtio_gpu_resource_unmap_blob.self).resource_id)
        default: throw .unspecified
        }
    }

    private init(cursor type: virtio_gpu_ctrl_type, _ request: RawSpan) throws(Refusal) {
        let wire = try request.load(virtio_gpu_update_cursor.self)
        let x = Int32(bitPattern: wire.pos.x)
        let y = Int32(bitPattern: wire.pos.y)
        switch type {
        case VIRTIO_GPU_CMD_UPDATE_CURSOR:
            self = .updateCursor(
                head: wire.pos.scanout_id, resource: wire.resource_id, x: x, y: y, hotX: wire.hot_x, hotY: wire.hot_y)
        case VIRTIO_GPU_CMD_MOVE_CURSOR: self = .moveCursor(head: wire.pos.scanout_id, x: x, y: y)
        default: throw .unspecified
        }
    }

    /// How many bytes follow the header of the response when all goes well; a capability set's own size comes in
    /// addition.
    var payloadSize: Int {
        switch self {
        case .getCapsetInfo: Response.payloadSize(virtio_gpu_resp_capset_info.self)
        case .getDisplayInfo: Response.payloadSize(virtio_gpu_resp_display_info.self)
        case .getEDID: Response.payloadSize(virtio_gpu_resp_edid.self)
        case .assignUUID: Response.payloadSize(virtio_gpu_resp_resource_uuid.self)
        case .mapBlob: Response.payloadSize(virtio_gpu_resp_map_info.self)
        default: 0
        }
    }
}

/// The device's queues, by index. VIRTIO 1.2, section 5.7.2
enum Queue: Int, CaseIterable {
    case control = 0
    case cursor = 1
}

/// Why a command was not carried out, as the response says it. `VIRTIO_GPU_RESP_ERR_…`
enum Refusal: Error, Equatable {
    /// The command is unknown, was not negotiated or is cut off, or its guest memory can't be shared with a renderer.
    case unspecified
    /// Its guest memory can't be reached.
    case unreachable(DMAError)
    case outOfMemory
    case invalidScanout
    case invalidResource
    /// There is no such context, or no more since the renderer has ended.
    case invalidContext
    case invalidParameter

    /// What a renderer's answer means; nil when all is well.
    ///
    /// - Parameter status: nil when the renderer has ended instead.
    init?(_ status: RendererReply.Status?) {
        switch status {
        case .done: return nil
        case .noSuchObject: self = .invalidResource
        case .invalid: self = .invalidParameter
        case .outOfMemory: self = .outOfMemory
        case nil: self = .invalidContext
        }
    }

    var type: virtio_gpu_ctrl_type {
        switch self {
        case .unspecified, .unreachable: VIRTIO_GPU_RESP_ERR_UNSPEC
        case .outOfMemory: VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY
        case .invalidScanout: VIRTIO_GPU_RESP_ERR_INVALID_SCANOUT_ID
        case .invalidResource: VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID
        case .invalidContext: VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID
        case .invalidParameter: VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER
        }
    }
}

extension RawSpan {
    /// A structure of integers at the front.
    ///
    /// - Throws: ``Refusal/unspecified`` when the bytes end before it does.
    func load<Wire: BitwiseCopyable>(_: Wire.Type) throws(Refusal) -> Wire {
        guard byteCount >= MemoryLayout<Wire>.size else { throw .unspecified }
        // SAFETY: there are bytes enough, and every bit pattern is a structure of integers.
        return unsafeLoadUnaligned(as: Wire.self)
    }

    /// The bytes.
    func copy() -> [UInt8] {
        // SAFETY: they are only read, and only here.
        withUnsafeBytes { Array($0) }
    }
}

extension Rectangle {
    init(_ wire: virtio_gpu_rect) {
        self.init(x: Int(wire.x), y: Int(wire.y), width: Int(wire.width), height: Int(wire.height))
    }

    /// Whether it lies inside a picture of this size. No part of it is negative.
    func fits(width: Int, height: Int) -> Bool {
        x <= width && self.width <= width - x && y <= height && self.height <= height - y
    }
}

extension RendererCommand.ResourceParameters {
    init(_ wire: virtio_gpu_resource_create_3d) {
        self.init(
            id: wire.resource_id, target: wire.target, format: wire.format, bind: wire.bind, width: wire.width,
            height: wire.height, depth: wire.depth, arraySize: wire.array_size, lastLevel: wire.last_level,
            samples: wire.nr_samples, flags: wire.flags)
    }
}

extension RendererCommand.Transfer {
    init(_ wire: virtio_gpu_transfer_host_3d) {
        let box = wire.box
        self.init(
            context: wire.hdr.ctx_id, resource: wire.resource_id,
            box: RendererCommand.Box(x: box.x, y: box.y, z: box.z, width: box.w, height: box.h, depth: box.d),
            offset: wire.offset, level: wire.level, stride: wire.stride, layerStride: wire.layer_stride)
    }
}
