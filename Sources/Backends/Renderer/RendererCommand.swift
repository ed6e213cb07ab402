import Worker

/// What a renderer can be asked to do, in the order in which it is asked. The words are those of virtio 1.2, section
/// 5.7.6, and of virglrenderer.
public enum RendererCommand: Equatable, Sendable {
    /// What the renderer can do, for the guest's driver: version and contents of a capability set.
    /// VIRTIO_GPU_CMD_GET_CAPSET
    case capabilitySet(id: UInt32, version: UInt32)
    /// VIRTIO_GPU_CMD_CTX_CREATE, with the set that the context speaks (VIRTIO_GPU_CONTEXT_INIT_CAPSET_ID_MASK).
    case createContext(id: UInt32, capabilitySet: UInt32, name: [UInt8])
    /// VIRTIO_GPU_CMD_CTX_DESTROY
    case destroyContext(id: UInt32)
    /// VIRTIO_GPU_CMD_RESOURCE_CREATE_3D
    case createResource(ResourceParameters)
    /// Makes a resource of memory that both processes see, which the renderer takes as a dma-buf and keeps until the
    /// resource is destroyed. What is done with the pages in the file behind it then doesn't reach it any more.
    /// VIRTIO_GPU_CMD_RESOURCE_CREATE_BLOB, VIRTIO_GPU_CMD_RESOURCE_MAP_BLOB
    ///
    /// The piece is whole pages of a window whose file is a memfd that can't shrink, from whole pages of that file on.
    case importBlob(resource: UInt32, kind: BlobKind, piece: MemoryPiece)
    /// VIRTIO_GPU_CMD_RESOURCE_UNREF
    case destroyResource(id: UInt32)
    /// VIRTIO_GPU_CMD_RESOURCE_ATTACH_BACKING: where the guest's copy of the resource is.
    case attachBacking(resource: UInt32, pieces: [MemoryPiece])
    /// VIRTIO_GPU_CMD_RESOURCE_DETACH_BACKING
    case detachBacking(resource: UInt32)
    /// VIRTIO_GPU_CMD_CTX_ATTACH_RESOURCE
    case attachResource(context: UInt32, resource: UInt32)
    /// VIRTIO_GPU_CMD_CTX_DETACH_RESOURCE
    case detachResource(context: UInt32, resource: UInt32)
    /// VIRTIO_GPU_CMD_SUBMIT_3D: whole 32-bit words.
    case submit(context: UInt32, commands: [UInt8])
    /// VIRTIO_GPU_CMD_TRANSFER_TO_HOST_3D
    case transferToHost(Transfer)
    /// VIRTIO_GPU_CMD_TRANSFER_FROM_HOST_3D
    case transferFromHost(Transfer)
    /// Copies a part of a resource's first level to memory that both processes see.
    case readPixels(resource: UInt32, box: Box, stride: UInt32, to: MemoryPiece)
    /// Answered when everything that was asked before is done. VIRTIO_GPU_FLAG_FENCE
    case fence
    /// Answered when everything that was submitted before to one ring of a context is done. It waits for no other ring.
    /// VIRTIO_GPU_FLAG_INFO_RING_IDX
    case contextFence(context: UInt32, ring: UInt32)

    /// The most pieces that the backing of one resource has.
    public static let pieceLimit: UInt32 = 16384

    /// What a guest's driver wants a blob for.
    public enum BlobKind: Sendable {
        /// Memory for itself and the renderer: rings and replies of Venus, which have blob_id 0.
        case sharedMemory
        /// Memory that the host's driver is to import: blob_id is another number.
        case deviceMemory
    }

    /// struct virtio_gpu_resource_create_3d, without what is padding there.
    public struct ResourceParameters: Equatable, Sendable {
        public var id: UInt32
        public var target: UInt32
        public var format: UInt32
        public var bind: UInt32
        public var width: UInt32
        public var height: UInt32
        public var depth: UInt32
        public var arraySize: UInt32
        public var lastLevel: UInt32
        public var samples: UInt32
        public var flags: UInt32

        public init(
            id: UInt32, target: UInt32, format: UInt32, bind: UInt32, width: UInt32, height: UInt32, depth: UInt32 = 1,
            arraySize: UInt32 = 1, lastLevel: UInt32 = 0, samples: UInt32 = 0, flags: UInt32 = 0
        ) {
            self.id = id
            self.target = target
            self.format = format
            self.bind = bind
            self.width = width
            self.height = height
            self.depth = depth
            self.arraySize = arraySize
            self.lastLevel = lastLevel
            self.samples = samples
            self.flags = flags
        }
    }

    /// struct virtio_gpu_box
    public struct Box: Equatable, Sendable {
        public var x: UInt32
        public var y: UInt32
        public var z: UInt32
        public var width: UInt32
        public var height: UInt32
        public var depth: UInt32

        public init(x: UInt32, y: UInt32, z: UInt32 = 0, width: UInt32, height: UInt32, depth: UInt32 = 1) {
            self.x = x
            self.y = y
            self.z = z
            self.width = width
            self.height = height
            self.depth = depth
        }
    }

    /// struct virtio_gpu_transfer_host_3d, with its header's context.
    public struct Transfer: Equatable, Sendable {
        public var context: UInt32
        public var resource: UInt32
        public var box: Box
        /// Where the first pixel is in the backing, in bytes.
        public var offset: UInt64
        public var level: UInt32
        public var stride: UInt32
        public var layerStride: UInt32

        public init(
            context: UInt32, resource: UInt32, box: Box, offset: UInt64 = 0, level: UInt32 = 0, stride: UInt32 = 0,
            layerStride: UInt32 = 0
        ) {
            self.context = context
            self.resource = resource
            self.box = box
            self.offset = offset
            self.level = level
            self.stride = stride
            self.layerStride = layerStride
        }
    }
}

/// What a renderer answers, once for each command.
public struct RendererReply: Equatable, Sendable {
    public enum Status: UInt32, Sendable {
        case done = 0
        /// There is no such context, resource or window, or there is one already.
        case noSuchObject = 1
        /// The renderer can't do what the command says.
        case invalid = 2
        case outOfMemory = 3
    }

    public var status: Status
    /// A capability set's contents; else empty.
    public var data: [UInt8]

    public init(_ status: Status, data: [UInt8] = []) {
        self.status = status
        self.data = data
    }
}
