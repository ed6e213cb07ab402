import CLinux
import Renderer

/// What the device knows of a blob in the host's memory. That memory is the window's: such a blob has content from when
/// the guest maps it until it is unmapped.
struct HostBlob: Codable, Equatable, Sendable {
    /// In bytes; whole pages.
    let size: Int
    /// Whether it is memory that no driver of the host's has, for what a context and its guest tell each other; else it
    /// is what such a driver allocates from. A `blob_id` of 0
    let isSharedMemory: Bool
    /// `VIRTIO_GPU_BLOB_FLAG_USE_MAPPABLE`
    let isMappable: Bool
    var place = Place.nowhere
    /// Those that may use it, in the order in which they were told.
    var contexts: [UInt32] = []

    enum Place: Codable, Equatable, Sendable {
        case nowhere
        /// The renderer has it, or is about to. In bytes from the window's beginning.
        case mapped(at: Int)
        /// The renderer is to let go of it. See ``Window/beginRelease(_:of:)``
        case releasing(UInt64)
        /// The renderer that had it has ended.
        case lost
    }

    /// Where it lies in the window; nil unless it is mapped.
    var range: Range<Int>? {
        guard case .mapped(let offset) = place else { return nil }
        return offset..<offset + size
    }

    /// - Throws: ``Refusal/invalidParameter`` for what can never be mapped, ``Refusal/outOfMemory`` for more than the
    ///   window has.
    init(_ request: Request, in window: Window) throws(Refusal) {
        guard request.size > 0, request.size.isMultiple(of: UInt64(Window.page)), !request.hasBacking,
            request.flags & ~Self.knownFlags == 0
        else { throw .invalidParameter }
        guard request.size <= UInt64(window.bytes.size) else { throw .outOfMemory }
        size = Int(request.size)
        isSharedMemory = request.blob == 0
        isMappable = request.flags & UInt32(VIRTIO_GPU_BLOB_FLAG_USE_MAPPABLE) != 0
    }

    private static let knownFlags = UInt32(
        VIRTIO_GPU_BLOB_FLAG_USE_MAPPABLE | VIRTIO_GPU_BLOB_FLAG_USE_SHAREABLE | VIRTIO_GPU_BLOB_FLAG_USE_CROSS_DEVICE)

    /// The renderer that had it has ended.
    mutating func lose() {
        place = .lost
        contexts = []
    }

    /// RESOURCE_CREATE_BLOB with VIRTIO_GPU_BLOB_MEM_HOST3D, as the driver asks for it.
    struct Request: Equatable {
        /// Whose it is to be.
        let context: UInt32
        let flags: UInt32
        /// What the context calls it. `blob_id`
        let blob: UInt64
        let size: UInt64
        let hasBacking: Bool
    }
}
