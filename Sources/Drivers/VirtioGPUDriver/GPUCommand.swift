import CLinux
import Linux

/// What a driver has a virtio-gpu do in 3D, in the words of VIRTIO 1.2, section 5.7.6.
public enum GPUCommand: Equatable, Sendable {
    /// VIRTIO_GPU_CMD_GET_CAPSET_INFO
    case capabilitySetInfo(index: UInt32)
    /// VIRTIO_GPU_CMD_GET_CAPSET
    case capabilitySet(id: UInt32, version: UInt32)
    /// VIRTIO_GPU_CMD_CTX_CREATE. Of the name 64 bytes are sent.
    case createContext(id: UInt32, name: [UInt8])
    /// VIRTIO_GPU_CMD_CTX_DESTROY
    case destroyContext(id: UInt32)
    /// VIRTIO_GPU_CMD_RESOURCE_CREATE_3D
    case createResource(id: UInt32, ResourceParameters)
    /// VIRTIO_GPU_CMD_RESOURCE_UNREF
    case destroyResource(id: UInt32)
    /// VIRTIO_GPU_CMD_RESOURCE_ATTACH_BACKING, in one piece.
    case attachBacking(resource: UInt32, address: UInt64, size: UInt32)
    /// VIRTIO_GPU_CMD_RESOURCE_DETACH_BACKING
    case detachBacking(resource: UInt32)
    /// VIRTIO_GPU_CMD_CTX_ATTACH_RESOURCE
    case attachResource(context: UInt32, resource: UInt32)
    /// VIRTIO_GPU_CMD_TRANSFER_TO_HOST_3D
    case transferToHost(Transfer)
    /// VIRTIO_GPU_CMD_TRANSFER_FROM_HOST_3D
    case transferFromHost(Transfer)
    /// VIRTIO_GPU_CMD_SUBMIT_3D, done when all of the stream is drawn: whole words, 1 MiB at most.
    case submit(context: UInt32, stream: [UInt8])

    /// The most bytes that a stream may have.
    public static let maximumStream = 1 << 20
    /// A stream takes whole blocks of so many bytes in the queue, however short it is.
    public static let streamBlock = 64 << 10

    /// `struct virtio_gpu_resource_create_3d`
    public struct ResourceParameters: Equatable, Sendable {
        public var target: UInt32
        public var format: UInt32
        public var bind: UInt32
        public var width: UInt32
        public var height: UInt32
        public var depth: UInt32
        public var arraySize: UInt32
        public var lastLevel: UInt32
        public var samples: UInt32

        public init(
            target: UInt32, format: UInt32, bind: UInt32, width: UInt32, height: UInt32, depth: UInt32,
            arraySize: UInt32, lastLevel: UInt32, samples: UInt32
        ) {
            self.target = target
            self.format = format
            self.bind = bind
            self.width = width
            self.height = height
            self.depth = depth
            self.arraySize = arraySize
            self.lastLevel = lastLevel
            self.samples = samples
        }
    }

    /// `struct virtio_gpu_transfer_host_3d`
    public struct Transfer: Equatable, Sendable {
        public var context: UInt32
        public var resource: UInt32
        public var level: UInt32
        /// In bytes; 0: as long as a line is.
        public var stride: UInt32
        public var layerStride: UInt32
        public var box: Box
        /// Where the first pixel is in the backing, in bytes.
        public var offset: UInt64

        public init(
            context: UInt32, resource: UInt32, level: UInt32, stride: UInt32 = 0, layerStride: UInt32 = 0, box: Box,
            offset: UInt64 = 0
        ) {
            self.context = context
            self.resource = resource
            self.level = level
            self.stride = stride
            self.layerStride = layerStride
            self.box = box
            self.offset = offset
        }
    }

    /// `struct virtio_gpu_box`
    public struct Box: Equatable, Sendable {
        public var x: UInt32
        public var y: UInt32
        public var z: UInt32
        public var width: UInt32
        public var height: UInt32
        public var depth: UInt32

        public init(x: UInt32, y: UInt32, z: UInt32, width: UInt32, height: UInt32, depth: UInt32) {
            self.x = x
            self.y = y
            self.z = z
            self.width = width
            self.height = height
            self.depth = depth
        }
    }
}

/// What a device has answered. VIRTIO 1.2, section 5.7.6.7
public struct GPUResponse: Equatable, Sendable {
    /// `VIRTIO_GPU_RESP_…`
    public var type: UInt32
    /// What follows the header.
    public var payload: [UInt8]

    public init(type: UInt32, payload: [UInt8] = []) {
        self.type = type
        self.payload = payload
    }

    public var isDone: Bool { (0x1100..<0x1200).contains(type) }

    /// What went wrong, as the end of a sentence.
    public var reason: String {
        switch virtio_gpu_ctrl_type(type) {
        case VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY: "the vGPU's memory is used up"
        case VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID: "its context is lost"
        case VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID: "there is no such resource"
        case VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER: "a value is not allowed"
        default: "the vGPU refused it (0x\(String(type, radix: 16)))"
        }
    }
}
