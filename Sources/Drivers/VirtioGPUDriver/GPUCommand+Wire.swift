import CLinux
import Linux

extension GPUCommand {
    /// What the device reads before a stream: a structure of `<linux/virtio_gpu.h>`.
    var request: [UInt8] {
        switch self {
        case .capabilitySetInfo(let index):
            Self.bytes(
                of: virtio_gpu_get_capset_info(
                    hdr: Self.header(VIRTIO_GPU_CMD_GET_CAPSET_INFO), capset_index: index, padding: 0))
        case .capabilitySet(let id, let version):
            Self.bytes(
                of: virtio_gpu_get_capset(
                    hdr: Self.header(VIRTIO_GPU_CMD_GET_CAPSET), capset_id: id, capset_version: version))
        case .createContext(let id, let name): Self.createContext(id, name)
        case .destroyContext(let id):
            Self.bytes(of: virtio_gpu_ctx_destroy(hdr: Self.header(VIRTIO_GPU_CMD_CTX_DESTROY, context: id)))
        case .createResource(let id, let parameters): Self.createResource(id, parameters)
        case .destroyResource(let id):
            Self.bytes(
                of: virtio_gpu_resource_unref(
                    hdr: Self.header(VIRTIO_GPU_CMD_RESOURCE_UNREF), resource_id: id, padding: 0))
        case .attachBacking(let id, let address, let size):
            Self.bytes(
                of: virtio_gpu_resource_attach_backing(
                    hdr: Self.header(VIRTIO_GPU_CMD_RESOURCE_ATTACH_BACKING), resource_id: id, nr_entries: 1))
                + Self.bytes(of: virtio_gpu_mem_entry(addr: address, length: size, padding: 0))
        case .detachBacking(let id):
            Self.bytes(
                of: virtio_gpu_resource_detach_backing(
                    hdr: Self.header(VIRTIO_GPU_CMD_RESOURCE_DETACH_BACKING), resource_id: id, padding: 0))
        case .attachResource(let context, let resource):
            Self.bytes(
                of: virtio_gpu_ctx_resource(
                    hdr: Self.header(VIRTIO_GPU_CMD_CTX_ATTACH_RESOURCE, context: context), resource_id: resource,
                    padding: 0))
        case .transferToHost(let transfer): Self.transfer(VIRTIO_GPU_CMD_TRANSFER_TO_HOST_3D, transfer)
        case .transferFromHost(let transfer): Self.transfer(VIRTIO_GPU_CMD_TRANSFER_FROM_HOST_3D, transfer)
        case .submit(let context, let stream):
            Self.bytes(
                of: virtio_gpu_cmd_submit(
                    hdr: Self.header(VIRTIO_GPU_CMD_SUBMIT_3D, context: context, isFenced: true),
                    size: UInt32(stream.count), padding: 0))
        }
    }

    /// What follows it.
    var stream: [UInt8] {
        if case .submit(_, let stream) = self { stream } else { [] }
    }

    /// How many bytes behind the header of its response the device may write.
    var payloadRoom: Int {
        switch self {
        case .capabilitySetInfo: MemoryLayout<virtio_gpu_resp_capset_info>.size - Self.headerSize
        case .capabilitySet: DriverQueue.largeResponse - Self.headerSize
        default: 0
        }
    }

    static let headerSize = MemoryLayout<virtio_gpu_ctrl_hdr>.size

    private static func header(
        _ type: virtio_gpu_ctrl_type, context: UInt32 = 0, isFenced: Bool = false
    ) -> virtio_gpu_ctrl_hdr {
        var header = virtio_gpu_ctrl_hdr()
        header.type = type.rawValue
        header.flags = isFenced ? UInt32(VIRTIO_GPU_FLAG_FENCE) : 0
        header.ctx_id = context
        return header
    }

    private static func createContext(_ id: UInt32, _ name: [UInt8]) -> [UInt8] {
        var wire = virtio_gpu_ctx_create()
        wire.hdr = header(VIRTIO_GPU_CMD_CTX_CREATE, context: id)
        let room = MemoryLayout.size(ofValue: wire.debug_name)
        wire.nlen = UInt32(min(name.count, room))
        var bytes = bytes(of: wire)
        bytes.replaceSubrange(bytes.count - room..<bytes.count - room + Int(wire.nlen), with: name.prefix(room))
        return bytes
    }

    private static func createResource(_ id: UInt32, _ parameters: ResourceParameters) -> [UInt8] {
        bytes(
            of: virtio_gpu_resource_create_3d(
                hdr: header(VIRTIO_GPU_CMD_RESOURCE_CREATE_3D), resource_id: id, target: parameters.target,
                format: parameters.format, bind: parameters.bind, width: parameters.width, height: parameters.height,
                depth: parameters.depth, array_size: parameters.arraySize, last_level: parameters.lastLevel,
                nr_samples: parameters.samples, flags: 0, padding: 0))
    }

    private static func transfer(_ type: virtio_gpu_ctrl_type, _ transfer: Transfer) -> [UInt8] {
        let box = transfer.box
        return bytes(
            of: virtio_gpu_transfer_host_3d(
                hdr: header(type, context: transfer.context),
                box: virtio_gpu_box(x: box.x, y: box.y, z: box.z, w: box.width, h: box.height, d: box.depth),
                offset: transfer.offset, resource_id: transfer.resource, level: transfer.level,
                stride: transfer.stride, layer_stride: transfer.layerStride))
    }

    /// The bytes of a structure of integers, without padding between them.
    private static func bytes<Wire: BitwiseCopyable>(of wire: Wire) -> [UInt8] {
        // SAFETY: the bytes are only read, and only here.
        withUnsafeBytes(of: wire) { Array($0) }
    }
}
